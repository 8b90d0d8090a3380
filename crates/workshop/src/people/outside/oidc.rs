//! OpenID Connect: the authorization code flow with PKCE, `state` and `nonce` (OpenID Connect Core 1.0, RFC 7636).
//!
//! The `openidconnect` crate makes the requests and decides whether a token holds: signature by the provider's
//! own keys, issuer, audience, end, nonce. Only signatures by key pairs are taken: what a client's secret or
//! nothing signs, others could have made. Here are the client that asks, which goes to no address that is
//! neither TLS nor this machine's and follows nothing, and how long the provider's description is believed.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lathe_evidence::Digest;
use openidconnect::core::{
    CoreClient, CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType, CoreTokenResponse,
};
use openidconnect::{
    AccessTokenHash, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, ClientId,
    ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse as _,
};
use tokio::sync::Semaphore;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::super::session::{digest_of, new_id};
use super::super::{AuditRow, People, Person, Shut, lock};
use super::admit::Outsider;
use super::begun::{Asked, BegunOnes};
use super::file::{OidcWay, SignIn, is_loopback, is_web};
use super::{Back, Begun, Entered, GROUP_BYTES_MAX, Kind, Origin, Unmet, Way, claims};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::reach;

/// How long a provider may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest answer of a provider.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long a provider's description and its keys are believed.
const BELIEVED_MAX: Duration = Duration::from_secs(5 * 60);
/// How old they are before they are asked for again because a key is missing among them.
const BELIEVED_MIN: Duration = Duration::from_secs(10);
/// Sign-ins that ask a provider at the same time.
const ASKING_MAX: usize = 8;
/// The longest code and state that are looked at.
const WORD_BYTES_MAX: usize = 4096;

/// Signatures that nobody but the provider can make.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// A client that knows the provider's endpoints.
type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The providers of the file, and the sign-ins that were begun by them.
#[derive(Debug)]
pub(super) struct Providers {
    all: Vec<Arc<Provider>>,
    begun: Mutex<BegunOnes>,
    asking: Semaphore,
}

impl Default for Providers {
    fn default() -> Providers {
        Providers {
            all: Vec::new(),
            begun: Mutex::default(),
            asking: Semaphore::new(ASKING_MAX),
        }
    }
}

impl Providers {
    pub(super) fn new(file: &SignIn) -> Result<Providers, WorkshopError> {
        let all = file.oidc.iter().map(|way| {
            let agent = agent(way)?;
            Ok(Arc::new(Provider {
                way: way.clone(),
                agent,
                known: Mutex::default(),
            }))
        });
        Ok(Providers {
            all: all.collect::<Result<_, WorkshopError>>()?,
            ..Providers::default()
        })
    }

    pub(super) fn ways(&self) -> Vec<Way> {
        let way = |it: &Arc<Provider>| Way {
            name: it.way.name.clone(),
            title: it.way.title.clone(),
        };
        self.all.iter().map(way).collect()
    }

    fn find(&self, way: &str) -> Option<Arc<Provider>> {
        self.all.iter().find(|it| it.way.name == way).cloned()
    }

    /// Asks a provider on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        provider: &Arc<Provider>,
        work: impl FnOnce(&Provider) -> Result<T, Unmet> + Send + 'static,
    ) -> Result<T, Shut> {
        let _place = self.asking.try_acquire().map_err(|_| Unmet::Unanswered)?;
        let provider = Arc::clone(provider);
        let done = reach::spawn_blocking(move || work(&provider)).await;
        let done = done.map_err(|error| {
            let next = "this is a mistake in Lathe; please report it";
            WorkshopError::new("daemon-crashed", error.to_string(), next)
        })?;
        Ok(done?)
    }
}

/// The client that asks: it follows nothing, and trusts the system's certificates and the file's.
fn agent(way: &OidcWay) -> Result<ureq::Agent, WorkshopError> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = &way.ca {
        let own = rustls_native_certs::load_certs_from_paths(Some(path), None);
        if own.certs.is_empty() {
            return Err(WorkshopError::new(
                "sign-in-file",
                format!(
                    "the way {}: {} holds no certificate",
                    way.name,
                    path.display()
                ),
                "name a file of certificates in PEM under `ca`",
            ));
        }
        found.extend(own.certs);
    }
    let roots = found.iter().map(|it| Certificate::from_der(it).to_owned());
    let roots = RootCerts::Specific(Arc::new(roots.collect()));
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("lathe/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(ANSWER_MAX))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    if Url::parse(&way.issuer).is_ok_and(|url| is_loopback(&url)) {
        config = config.proxy(None);
    }
    Ok(config.build().new_agent())
}

/// A provider, and what it said of itself.
#[derive(Debug)]
struct Provider {
    way: OidcWay,
    agent: ureq::Agent,
    known: Mutex<Option<(CoreProviderMetadata, Instant)>>,
}

/// A sign-in to be begun.
struct Request {
    url: String,
    state: String,
    nonce: String,
    verifier: String,
}

impl Provider {
    /// What the operator has to know; who signs in learns that it failed.
    fn told(&self, unmet: Unmet, why: &dyn Display) -> Unmet {
        tracing::warn!(way = self.way.name, code = unmet.code(), "sign-in: {why}");
        unmet
    }

    fn untrue(&self, why: &dyn Display) -> Unmet {
        self.told(Unmet::Untrue, why)
    }

    fn call(&self, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
        let uri = request.uri().to_string();
        if !Url::parse(&uri).is_ok_and(|url| is_web(&url)) {
            return Err(ureq::Error::BadUri(uri));
        }
        let response = if request.body().is_empty() {
            self.agent.run(request.map(drop))
        } else {
            self.agent.run(request)
        };
        let (parts, mut body) = response?.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(HttpResponse::from_parts(parts, body))
    }

    /// What the provider says of itself, with its keys; younger than `age` at most.
    fn metadata(&self, age: Duration) -> Result<CoreProviderMetadata, Unmet> {
        if let Some((known, since)) = &*lock(&self.known)
            && since.elapsed() < age
        {
            return Ok(known.clone());
        }
        let issuer = IssuerUrl::new(self.way.issuer.clone()).map_err(|why| self.untrue(&why))?;
        let metadata = CoreProviderMetadata::discover(&issuer, &|request| self.call(request));
        let metadata = metadata.map_err(|why| self.told(Unmet::Unanswered, &chain(&why)))?;
        *lock(&self.known) = Some((metadata.clone(), Instant::now()));
        Ok(metadata)
    }

    fn client(&self, metadata: CoreProviderMetadata) -> Result<Client, Unmet> {
        let secret = self.way.secret.clone().map(|it| ClientSecret::new(it.0));
        let id = ClientId::new(self.way.client.clone());
        let redirect = RedirectUrl::new(self.way.redirect.clone());
        let redirect = redirect.map_err(|why| self.untrue(&why))?;
        let client = CoreClient::from_provider_metadata(metadata, id, secret);
        Ok(client.set_redirect_uri(redirect))
    }

    fn begin(&self) -> Result<Request, Unmet> {
        let client = self.client(self.metadata(BELIEVED_MAX)?)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.way.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        if !is_web(&url) {
            return Err(self.untrue(&"its own page is neither https:// nor on this machine"));
        }
        Ok(Request {
            url: url.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Changes the code for a token, and the token for who it is.
    fn end(&self, asked: &Asked, code: String) -> Result<Outsider, Unmet> {
        let client = self.client(self.metadata(BELIEVED_MAX)?)?;
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|why| self.untrue(&why))?;
        let answer = request
            .set_pkce_verifier(PkceCodeVerifier::new(asked.verifier.clone()))
            .request(&|request| self.call(request));
        let answer = answer.map_err(|why| {
            let is_silent = matches!(&why, RequestTokenError::Request(why) if is_silent(why));
            let unmet = if is_silent {
                Unmet::Unanswered
            } else {
                Unmet::Untrue
            };
            self.told(unmet, &chain(&why))
        })?;
        let token = answer.id_token();
        let token = token.ok_or_else(|| self.untrue(&"it gives no ID token"))?;
        let subject = self.held(&client, &answer, token, asked)?;
        self.outsider(subject, &token.to_string())
    }

    /// The subject of a token that holds. A key that is not among those known may be a new one.
    fn held(
        &self,
        client: &Client,
        answer: &CoreTokenResponse,
        token: &CoreIdToken,
        asked: &Asked,
    ) -> Result<String, Unmet> {
        let nonce = Nonce::new(asked.nonce.clone());
        match verified(&client.id_token_verifier(), answer, token, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let client = self.client(self.metadata(BELIEVED_MIN)?)?;
                verified(&client.id_token_verifier(), answer, token, &nonce)
            }
            other => other,
        }
        .map_err(|why| self.untrue(&chain(&why)))
    }

    fn outsider(&self, subject: String, token: &str) -> Result<Outsider, Unmet> {
        let way = &self.way;
        let claims = claims::of_token(token);
        let claims = claims.ok_or_else(|| self.untrue(&"its ID token is too long"))?;
        if subject.is_empty() || subject.len() > GROUP_BYTES_MAX {
            return Err(self.untrue(&"its ID token has no usable `sub`"));
        }
        let groups = claims::groups(&claims, &way.groups);
        let groups = groups.ok_or_else(|| self.untrue(&"somebody is in too many groups"))?;
        Ok(Outsider {
            origin: Origin {
                kind: Kind::Oidc,
                way: way.name.clone(),
                subject,
            },
            name: claims::text(&claims, &way.called).to_owned(),
            display: claims::text(&claims, "name").to_owned(),
            roles: way.roles.roles(&groups, Kind::Oidc),
            parts: way.roles.parts(&groups, Kind::Oidc),
        })
    }
}

/// The subject of a token, if all of it holds.
fn verified(
    verifier: &CoreIdTokenVerifier<'_>,
    answer: &CoreTokenResponse,
    token: &CoreIdToken,
    nonce: &Nonce,
) -> Result<String, ClaimsVerificationError> {
    let verifier = verifier.clone().set_allowed_algs(ALGORITHMS);
    let claims = token.claims(&verifier, nonce)?;
    if let Some(hash) = claims.access_token_hash() {
        let signed = ClaimsVerificationError::SignatureVerification;
        let alg = token.signing_alg().map_err(signed)?;
        let key = token.signing_key(&verifier).map_err(signed)?;
        let own = AccessTokenHash::from_token(answer.access_token(), alg, key);
        let own = own.map_err(|why| ClaimsVerificationError::Other(why.to_string()))?;
        if own != *hash {
            let why = "the access token is another".to_owned();
            return Err(ClaimsVerificationError::Other(why));
        }
    }
    Ok(claims.subject().to_string())
}

/// Whether nothing came, rather than something that cannot be taken.
fn is_silent(error: &ureq::Error) -> bool {
    !matches!(
        error,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::BadUri(_)
    )
}

/// An error with what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl People {
    fn providers(&self) -> Option<&Providers> {
        self.outside().map(|ways| &ways.oidc)
    }

    /// As [`People::ways`].
    pub(super) fn providers_ways(&self) -> Vec<Way> {
        self.providers().map(Providers::ways).unwrap_or_default()
    }

    /// As [`People::begin_outside`].
    pub(super) async fn begin_by_provider(
        &self,
        way: &str,
        next: &str,
    ) -> Result<Option<Begun>, Shut> {
        let found = self.providers().and_then(|all| Some((all, all.find(way)?)));
        let Some((providers, provider)) = found else {
            return Ok(None);
        };
        let request = providers.ask(&provider, |it| it.begin()).await?;
        let (id, digest) = new_id()?;
        let asked = Asked {
            way: way.to_owned(),
            state: request.state,
            nonce: request.nonce,
            verifier: request.verifier,
            next: next.chars().take(WORD_BYTES_MAX).collect(),
            since_ms: now_ms(),
        };
        lock(&providers.begun).put(digest, asked);
        Ok(Some(Begun {
            url: request.url,
            id,
        }))
    }

    /// As [`People::end_outside`]: braked by address and audited, as passwords are.
    pub(super) async fn end_by_provider(&self, back: Back) -> Result<Option<Entered>, Shut> {
        let found = self
            .providers()
            .and_then(|all| Some((all, all.find(&back.way)?)));
        let Some((providers, provider)) = found else {
            return Ok(None);
        };
        let now_ms = now_ms();
        let by = format!("a visitor by {}", back.way);
        let braked = lock(&self.inner.brake).attempt_from(back.address, now_ms);
        if let Err(wait_s) = braked {
            self.note(AuditRow::now("login", &by, "log in", "login-braked"));
            return Err(Shut::Braked(wait_s));
        }
        let told = self.told_by(providers, &provider, &back, now_ms).await;
        let (person, next) = self.noted(told, &by)?;
        lock(&self.inner.brake).succeeded_from(back.address);
        let id = self
            .enter(&person, back.before.as_deref(), &back.agent, now_ms)
            .await?;
        Ok(Some(Entered { id, next }))
    }

    /// Who it is that comes back, and where they want to go.
    async fn told_by(
        &self,
        providers: &Providers,
        provider: &Arc<Provider>,
        back: &Back,
        now_ms: i64,
    ) -> Result<(Arc<Person>, String), Shut> {
        let id: Option<Digest> = back.id.as_deref().map(digest_of);
        let asked = id.and_then(|id| lock(&providers.begun).take(id, now_ms));
        let asked = asked.filter(|it| it.way == back.way && same(&it.state, &back.state));
        let asked = asked.ok_or(Unmet::Stale)?;
        let is_other = |issuer: &String| *issuer != provider.way.issuer;
        if back.issuer.as_ref().is_some_and(is_other) {
            return Err(Shut::Unmet(
                provider.untrue(&"another issuer sends the browser back"),
            ));
        }
        if back.code.is_empty() || back.code.len() > WORD_BYTES_MAX {
            return Err(Shut::Unmet(Unmet::Denied));
        }
        let (code, next) = (back.code.clone(), asked.next.clone());
        let outsider = providers
            .ask(provider, move |it| it.end(&asked, code))
            .await?;
        Ok((self.admit(outsider).await?, next))
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
