//! What a binary has that was built without a way: no button, nothing that begins or ends, nobody told apart. The
//! file that asks for the way was refused before.

#[cfg(not(feature = "ldap"))]
use std::sync::Arc;

#[cfg(any(not(feature = "oidc"), not(feature = "ldap")))]
use super::super::{People, Shut};
#[cfg(not(feature = "ldap"))]
use super::super::{Person, Secret};
#[cfg(not(feature = "oidc"))]
use super::{Back, Begun, Entered, Way};

#[cfg(not(feature = "oidc"))]
impl People {
    pub(super) fn providers_ways(&self) -> Vec<Way> {
        Vec::new()
    }

    pub(super) async fn begin_by_provider(
        &self,
        _way: &str,
        _next: &str,
    ) -> Result<Option<Begun>, Shut> {
        Ok(None)
    }

    pub(super) async fn end_by_provider(&self, _back: Back) -> Result<Option<Entered>, Shut> {
        Ok(None)
    }
}

#[cfg(not(feature = "ldap"))]
impl People {
    pub(in crate::people) async fn by_directory(
        &self,
        _name: &str,
        _password: &Secret,
    ) -> Option<Result<Arc<Person>, Shut>> {
        None
    }
}
