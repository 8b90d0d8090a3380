//! Whose request it is: the key it came with, without one the address it came from.
//!
//! It decides nothing but whose turn it is; who may ask at all is decided before.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::scheduler::Caller;

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        if let Some(key) = parts.headers.get(AUTHORIZATION) {
            return Ok(Caller::of(key.as_bytes()));
        }
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Caller::of(&from.map(|ConnectInfo(address)| address.ip())))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn caller(key: Option<&str>, address: Option<[u8; 4]>) -> Caller {
        let mut request = Request::get("/");
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(address) = address {
            request = request.extension(ConnectInfo(SocketAddr::from((address, 4321))));
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let found = Caller::from_request_parts(&mut parts, &()).await;
        found.expect("it never fails")
    }

    #[tokio::test]
    async fn the_key_tells_callers_apart_and_where_there_is_none_the_address() {
        let (here, there) = (Some([127, 0, 0, 1]), Some([10, 0, 0, 7]));
        assert_eq!(
            caller(Some("a"), here).await,
            caller(Some("a"), there).await
        );
        assert_ne!(caller(Some("a"), here).await, caller(Some("b"), here).await);
        assert_eq!(caller(None, here).await, caller(None, here).await);
        assert_ne!(caller(None, here).await, caller(None, there).await);
        assert_ne!(caller(None, here).await, caller(Some("a"), here).await);
        assert_eq!(caller(None, None).await, caller(None, None).await);
    }
}
