//! cargo run --release -p lathe-serve --example tiny -- [ADDR:PORT] [BASE [ADAPTER]]
//!
//! Serves one model as `tiny` on loopback, without a workshop around it: by default
//! the random model of the tests on 127.0.0.1:7979. It goes the way every model
//! goes, through admission, with a made-up report: an example, not a back door. `GUESSED_TOKENS=0` turns
//! guesses of what repeats off, or another number sets how many.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::serve::ListenerExt;
use lathe_kernel::default_threads;
use lathe_serve::{Door, Limits};
use lathe_workshop::Door as _;

#[path = "../src/tests/fixture.rs"]
mod fixture;

/// How long running answers may go on after Ctrl-C.
const DRAIN_MAX: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:7979".to_owned());
    let base = arguments
        .next()
        .map_or_else(fixture::tiny_model, PathBuf::from);
    let adapter = arguments.next().map(PathBuf::from);

    let mut limits = Limits::default();
    if let Ok(tokens) = std::env::var("GUESSED_TOKENS") {
        limits.guessed_tokens_max = tokens.parse()?;
    }
    let door = Door::with_limits(default_threads(), limits);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let book = fixture::book();
    door.open(fixture::admitted("tiny", base, adapter), book.clone())
        .await?;
    println!(
        "LATHE_BASE_URL=http://{}/v1 LATHE_MODEL=tiny",
        listener.local_addr()?
    );

    let stop = {
        let door = door.clone();
        async move {
            // Without a handler for Ctrl-C the process ends at once, which is fine too.
            let _ = tokio::signal::ctrl_c().await;
            door.shut_down(DRAIN_MAX).await;
        }
    };
    // A streamed token is a small packet; it must not wait for the last one's receipt.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let callers = door
        .router()
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, callers)
        .with_graceful_shutdown(stop)
        .await?;
    println!(
        "{} receipts opened, {} closed, {} answers held against a task",
        book.opened(),
        book.closed().len(),
        book.valid().len()
    );
    Ok(())
}
