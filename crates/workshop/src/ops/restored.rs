//! `restored`: the home was put back from a backup. The ledger says from where it goes on; every
//! deployment is looked at anew before it answers.

use lathe_evidence::statement::Restored;
use serde_json::{Value, json};

use super::reasoned;
use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// Says it.
pub(super) async fn run(shop: &Workshop, reason: String) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let (link, size) = shop
        .apply_said(|speaker| {
            let (size, root) = (speaker.history().len(), speaker.history().root());
            let said = Restored {
                size,
                root,
                reason,
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say("ledger", root, said)?;
            Ok((Vec::new(), (link, size)))
        })
        .await?;
    Ok(json!({ "restored": link, "size": size }))
}
