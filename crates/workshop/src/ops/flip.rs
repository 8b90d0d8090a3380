//! `flip`: what happens to an altered model. In a copy of the home, which is removed again, one bit
//! of the weights is flipped and admission is asked. The home itself is not touched.

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::error::WorkshopError;
use crate::rehearsal::Rehearsal;
use crate::workshop::Workshop;

/// One copy at a time: each takes the room of a store and the time of hashing a model.
static ONE: Mutex<()> = Mutex::const_new(());

/// Flips it, asks, and says how it was refused.
pub(super) async fn run(shop: &Workshop, name: &str) -> Result<Value, WorkshopError> {
    let _one = ONE.lock().await;
    let copy = Rehearsal::of(shop.home()).await?;
    let there = copy.open().await?;
    let flipped = copy.flip(&there, name).await;
    there.stop().await;
    let (file, refused) = flipped?;
    Ok(json!({
        "name": name,
        "file": file,
        "refused": {
            "code": refused.code,
            "text": copy.without_place(&refused.text),
            "next": refused.next,
        },
    }))
}
