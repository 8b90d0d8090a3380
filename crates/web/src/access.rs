//! Who may ask: the guard in front of every page, the API and `/v1`.
//!
//! Three checks, in this order: the `Host` a request names (against DNS rebinding), the origin of
//! anything that changes state (against cross-site request forgery), and a key that opens what is asked
//! for, where the workshop listens beyond loopback or has ever issued one. Only whether the server lives
//! and is ready is told to everybody: what probes it carries no key.
//!
//! Once there are people, a request without a key has to come from somebody who is logged in and has the
//! right that [`routes`] asks for, over the thing that the address names; what they send carries the token of
//! their pages ([`csrf`]). A key of a project opens what belongs to that project. What somebody may not see
//! is not there for them: neither is what really is not.
//!
//! Under `/v1` a refusal has OpenAI's shape, at the doors for other people's clients theirs, so that they raise
//! the class their users expect.
//! Not here: who may have which right (`lathe_workshop::people`), and how much one may ask (`lathe_serve`).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use lathe_workshop::people::{AuditRow, COMMON, Judged, Reach, Signed, reach};
use lathe_workshop::token::{Scope, Stranger};
use lathe_workshop::{Caller, People, Tokens, audit};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::pages;
use crate::visitor::session_in;
pub(crate) use pass::Pass;
use refusal::{Refusal, Shape};
use routes::{Need, Place};

mod csrf;
mod pass;
mod refusal;
mod routes;

/// SHA-256 of a key.
pub type KeyDigest = [u8; 32];

/// Where the workshop listens, and therefore what it asks of a request.
#[derive(Clone, Debug)]
pub enum Access {
    /// Only this machine can connect: no key is asked for until one is issued, but the request has to
    /// name a loopback host, so that no web page can reach the workshop through a domain of its own.
    Loopback,
    /// Others can connect: every request carries a key that was issued, or one of those whose SHA-256
    /// digests stand here, which open everything.
    Keys(Arc<[KeyDigest]>),
}

/// What the guard holds a request against. Clones share the keys.
#[derive(Clone)]
pub(crate) struct Guard {
    pub access: Access,
    pub tokens: Tokens,
    pub people: People,
}

impl Guard {
    /// Whether a key is asked for: beyond loopback always, on it once one was issued.
    fn asks_for_a_key(&self) -> bool {
        matches!(self.access, Access::Keys(_)) || !self.tokens.is_empty()
    }

    /// Whether it is asked who somebody is: as for a key, and once there are people.
    pub fn asks(&self) -> bool {
        self.asks_for_a_key() || !self.people.is_empty()
    }
}

/// Who asks.
#[derive(Debug)]
enum Asking {
    /// No limit holds for them: no key is asked for, or they present the operator's.
    Anybody,
    /// Without a key that fits, for what everybody is told.
    Stranger,
    /// With a key that was issued.
    With(Caller),
    /// Logged in.
    Person(Signed),
}

impl Asking {
    /// As the audit names them.
    fn told(&self, guard: &Guard) -> String {
        match self {
            Asking::With(Caller(token)) => format!("key {} {}", token.id(), token.name()),
            Asking::Anybody if guard.asks_for_a_key() => "a key of the operator's file".to_owned(),
            Asking::Anybody => audit::ANYBODY.to_owned(),
            Asking::Stranger => "a stranger".to_owned(),
            Asking::Person(signed) => signed.person.told(),
        }
    }
}

/// Middleware: lets a request through, with who asks, or answers it with the reason it was turned away.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let asking = match check(&guard, &parts.method, &parts.uri, &parts.headers, route) {
        Ok(asking) => asking,
        Err(refusal) => return turned_away(&guard, (refusal, Vec::new()), parts).await,
    };
    let over = over(&mut parts, route).await;
    let admitted = match judged(&guard, asking, &parts, (route, over)).await {
        Ok(admitted) => admitted,
        Err(refused) => return turned_away(&guard, refused, parts).await,
    };
    let token = match &admitted.asking {
        Asking::Person(signed) if !parts.method.is_safe() => signed.csrf.clone(),
        _ => return answered(&guard, admitted, Request::from_parts(parts, body), next).await,
    };
    let head = parts.clone();
    match csrf::checked(Request::from_parts(parts, body), &token).await {
        Ok(request) => answered(&guard, admitted, request, next).await,
        Err(refusal) => turned_away(&guard, (refusal, admitted.projects), head).await,
    }
}

/// Who was let through, and by what.
struct Admitted {
    asking: Asking,
    /// How far they reach; none for whoever reaches everything.
    reach: Option<Reach>,
    /// The projects of the thing that is asked for.
    projects: Vec<String>,
}

/// Over what a request asks for its right.
async fn over(parts: &mut Parts, route: Option<&str>) -> Place {
    let named = RawPathParams::from_request_parts(parts, &()).await.ok();
    let named = named.as_ref().and_then(|it| it.iter().next());
    routes::place(parts.uri.path(), route, named.map(|(_, value)| value))
}

/// Whether whoever asks may, over what the address names. Who is asked who they are by a right, and a key of
/// one project, are judged; keys of the whole workshop open what their scope says.
async fn judged(
    guard: &Guard,
    asking: Asking,
    parts: &Parts,
    (route, over): (Option<&str>, Place),
) -> Result<Admitted, (Refusal, Vec<String>)> {
    let people = guard.people.clone();
    let reach = match &asking {
        Asking::Person(signed) => Some(Reach::Person(signed.person.clone(), people)),
        Asking::With(Caller(token)) if token.project() != COMMON => {
            Some(Reach::Key(token.project().to_owned(), people))
        }
        Asking::Stranger => Some(Reach::Nobody),
        Asking::Anybody | Asking::With(_) => None,
    };
    let admitted = |reach, projects| Admitted {
        asking,
        reach,
        projects,
    };
    let Some(reach) = reach else {
        return Ok(admitted(None, Vec::new()));
    };
    let right = match routes::need(&parts.method, parts.uri.path(), route) {
        Some(Need::Has(right)) => right,
        Some(Need::Either(first, _)) if reach.may_here(first) => first,
        Some(Need::Either(_, second)) => second,
        // What is not listed was refused to people before; it is no key's either.
        None if route.is_some() => return Err((Refusal::Unlisted, Vec::new())),
        _ => return Ok(admitted(Some(reach), Vec::new())),
    };
    let refused = |projects| match &reach {
        Reach::Person(..) => (Refusal::Right(right), projects),
        Reach::Key(..) | Reach::Nobody => (Refusal::OfProject, projects),
    };
    let found = match over {
        Place::Workshop if reach.may_here(right) => Judged::Allowed(Vec::new()),
        Place::Anywhere if reach.may_anywhere(right) => Judged::Allowed(Vec::new()),
        Place::Workshop | Place::Anywhere => Judged::Denied(Vec::new()),
        Place::Of(thing) => match guard.people.judge(&reach, right, &thing).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("the project of what is asked for was not found: {error}");
                return Err((Refusal::Unread, Vec::new()));
            }
        },
    };
    match found {
        Judged::Allowed(projects) => Ok(admitted(Some(reach), projects)),
        Judged::Denied(projects) => Err(refused(projects)),
        Judged::Hidden => Err((Refusal::Missing, Vec::new())),
    }
}

async fn answered(guard: &Guard, admitted: Admitted, mut request: Request, next: Next) -> Response {
    let Admitted {
        asking,
        reach,
        projects,
    } = admitted;
    let change = changes(request.method(), request.uri().path())
        .then(|| (asking.told(guard), request.method().clone()));
    let extensions = request.extensions_mut();
    match asking {
        Asking::Anybody => {}
        Asking::Stranger => {
            extensions.insert(Stranger);
        }
        Asking::With(caller) => {
            extensions.insert(caller);
        }
        Asking::Person(signed) => {
            extensions.insert(signed);
        }
    }
    let Some((by, method)) = change else {
        return reach::within(reach, next.run(request)).await;
    };
    let path = request.uri().path().to_owned();
    let working = reach::within(reach, next.run(request));
    let response = audit::on_behalf(by.clone(), working).await;
    let status = response.status().as_u16();
    let what = format!("{method} {path}");
    let row = AuditRow::now("request", &by, &what, &status.to_string()).within(&projects);
    audit::asked(method.as_str(), &path, &by, status, row.project.as_deref());
    if !UNKEPT.contains(&path.as_str()) {
        // It was done, whether it could be noted or not.
        if let Err(error) = guard.people.record(row).await {
            tracing::error!("a request was not written into the audit: {error}");
        }
    }
    response
}

/// What is not kept of requests: logging in and operations are by themselves, asking changes nothing.
const UNKEPT: [&str; 5] = [
    "/login",
    "/logout",
    "/api/operations",
    "/try",
    "/try/answer",
];

async fn turned_away(
    guard: &Guard,
    (refusal, projects): (Refusal, Vec<String>),
    mut parts: Parts,
) -> Response {
    let path = parts.uri.path().to_owned();
    tracing::warn!(code = refusal.code(), path, "request refused");
    let signed = signed(guard, &parts.headers);
    let by = signed.as_ref().map(|it| it.person.told());
    let what = format!("{} {path}", parts.method);
    let by = by.unwrap_or_default();
    let row = AuditRow::now("refused", &by, &what, refusal.code()).within(&projects);
    let project = row.project.as_deref();
    audit::turned_away(parts.method.as_str(), &path, refusal.code(), project);
    guard.people.note(row);
    if !is_page(&path) {
        return refusal.into_response(Shape::of(&path));
    }
    // What stands around the page is for whoever reads it, too.
    let mut reach = Reach::Nobody;
    if let Some(signed) = signed {
        reach = Reach::Person(signed.person.clone(), guard.people.clone());
        parts.extensions.insert(signed);
    }
    let page = async {
        match refusal {
            Refusal::Login => pages::to_login(&parts),
            Refusal::Right(right) => pages::denied(&mut parts, right).await,
            Refusal::Missing => pages::missing(&mut parts).await,
            Refusal::Csrf => pages::stale(&mut parts).await,
            other => other.into_response(Shape::Own),
        }
    };
    reach::within(Some(reach), page).await
}

/// Method and path of every page and every form on one: what the table of rights has for people. What does not
/// stand there is denied to whoever is logged in.
pub fn page_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = routes::ROUTES.iter().map(|row| (row.0, row.1));
    rows.filter(|(_, path)| is_page(path))
}

/// Whether people read what stands there.
fn is_page(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    ![
        "api",
        "hf",
        "v1",
        "metrics",
        "health",
        "openapi.json",
        "assets",
    ]
    .contains(&first)
}

fn check(
    guard: &Guard,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    route: Option<&str>,
) -> Result<Asking, Refusal> {
    let host = host_of(uri, headers).ok_or(Refusal::Host)?;
    if matches!(guard.access, Access::Loopback) && !is_loopback(host_name(host)) {
        return Err(Refusal::Host);
    }
    if !method.is_safe() && !same_origin(host, headers) {
        return Err(Refusal::Origin);
    }
    if !guard.asks() {
        // Whatever stands there is a placeholder: OpenAI's clients insist on a key.
        return Ok(Asking::Anybody);
    }
    let key = key_of(headers).ok_or(Refusal::Key);
    if key.is_err() && !guard.people.is_empty() {
        return by_session(guard, method, uri.path(), headers, route);
    }
    match scope_of(method, uri.path()) {
        Some(scope) => admit(guard, &key?, scope),
        None => {
            let admitted = key.and_then(|key| admit(guard, &key, Scope::Answer));
            Ok(admitted.unwrap_or(Asking::Stranger))
        }
    }
}

/// Who is logged in, where that is asked for. Whether they have the right is judged over the thing.
fn by_session(
    guard: &Guard,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    route: Option<&str>,
) -> Result<Asking, Refusal> {
    let need = routes::need(method, path, route);
    let Some(signed) = signed(guard, headers) else {
        return match need {
            Some(Need::Nothing) => Ok(Asking::Stranger),
            _ => Err(Refusal::Login),
        };
    };
    match need {
        Some(_) => Ok(Asking::Person(signed)),
        // No route: the answer is that nothing stands there.
        None if route.is_none() => Ok(Asking::Person(signed)),
        None => Err(Refusal::Unlisted),
    }
}

fn signed(guard: &Guard, headers: &HeaderMap) -> Option<Signed> {
    guard.people.signed(&session_in(headers)?)
}

/// Whether a request changes what the workshop is or does, rather than asking a model.
fn changes(method: &Method, path: &str) -> bool {
    !method.is_safe() && matches!(scope_of(method, path), Some(Scope::Admin | Scope::Tune))
}

/// What a path is opened by; none for what is told to everybody.
fn scope_of(method: &Method, path: &str) -> Option<Scope> {
    let under = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        "/health" | "/health/live" | "/health/ready" => None,
        "/metrics" => Some(Scope::Metrics),
        // Whoever may ask may read how.
        "/openapi.json" => Some(Scope::Answer),
        _ if under("/v1/feedback") => Some(Scope::Feedback),
        // They place orders and hand over data.
        _ if under("/v1/files") || under("/v1/fine_tuning") || under("/v1/uploads") => {
            Some(Scope::Tune)
        }
        _ if under("/v1") => Some(Scope::Answer),
        // They say what answers.
        "/api/2.0/mlflow/registered-models/alias" if !method.is_safe() => Some(Scope::Admin),
        _ if under("/hf") || under("/api/2.0/mlflow") || under("/api/2.0/mlflow-artifacts") => {
            Some(Scope::Models)
        }
        _ => Some(Scope::Admin),
    }
}

/// Who presents `key`; anybody for one of the operator's file.
fn admit(guard: &Guard, key: &str, scope: Scope) -> Result<Asking, Refusal> {
    if let Access::Keys(digests) = &guard.access
        && holds_key(digests, key)
    {
        return Ok(Asking::Anybody);
    }
    let token = guard.tokens.find(key)?;
    if token.opens(scope) {
        Ok(Asking::With(Caller(token)))
    } else {
        Err(Refusal::Scope(scope))
    }
}

/// Host and port as the client named them.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(|authority| authority.as_str()),
    }
}

/// The host without its port and without the brackets of an IPv6 literal.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a state-changing request comes from our own pages or from no page at all. Browsers send
/// `Origin` with every POST; programs send neither of the two headers.
fn same_origin(host: &str, headers: &HeaderMap) -> bool {
    if let Some(origin) = headers.get(ORIGIN) {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin_host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        return origin_host.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host));
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => false,
    }
}

/// Whether a key is one of these: every digest is compared, in constant time and to the end.
fn holds_key(digests: &[KeyDigest], key: &str) -> bool {
    let digest: KeyDigest = Sha256::digest(key.as_bytes()).into();
    let equal = digests.iter().map(|known| known.ct_eq(&digest));
    equal.fold(Choice::from(0), |any, one| any | one).into()
}

/// The key that a request presents.
fn key_of(headers: &HeaderMap) -> Option<String> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| key_in(value.to_str().ok()?))
}

/// The key in an `Authorization` value: `Bearer KEY`, or the password of `Basic`.
fn key_in(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(rest)
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use lathe_evidence::Digest;
    use lathe_workshop::token::{Allowance, TokenRow};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn ask(access: &Access, method: Method, pairs: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let guard = Guard {
            access: access.clone(),
            tokens: Tokens::default(),
            people: People::default(),
        };
        let uri = Uri::from_static("/");
        check(&guard, &method, &uri, &headers(pairs), None).map(drop)
    }

    #[test]
    fn loopback_answers_only_to_loopback_names() {
        for host in [
            "localhost",
            "LOCALHOST:7878",
            "127.0.0.1:7878",
            "127.3.2.1",
            "[::1]:7878",
        ] {
            assert_eq!(
                ask(&Access::Loopback, Method::GET, &[("host", host)]),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            let refused = Err(Refusal::Host);
            assert_eq!(
                ask(&Access::Loopback, Method::GET, &[("host", host)]),
                refused,
                "{host}"
            );
        }
        assert_eq!(ask(&Access::Loopback, Method::GET, &[]), Err(Refusal::Host));
    }

    #[test]
    fn a_change_from_another_origin_is_refused() {
        let host = ("host", "127.0.0.1:7878");
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "http://127.0.0.1",
            "ftp://127.0.0.1:7878",
        ] {
            let asked = ask(&Access::Loopback, Method::POST, &[host, ("origin", origin)]);
            assert_eq!(asked, Err(Refusal::Origin), "{origin}");
        }
        let asked = ask(
            &Access::Loopback,
            Method::POST,
            &[host, ("sec-fetch-site", "cross-site")],
        );
        assert_eq!(asked, Err(Refusal::Origin));
    }

    #[test]
    fn our_pages_and_programs_may_change() {
        let host = ("host", "127.0.0.1:7878");
        let own = ("origin", "http://127.0.0.1:7878");
        assert_eq!(ask(&Access::Loopback, Method::POST, &[host, own]), Ok(()));
        assert_eq!(ask(&Access::Loopback, Method::POST, &[host]), Ok(()));
        let fetched = ("sec-fetch-site", "same-origin");
        assert_eq!(
            ask(&Access::Loopback, Method::POST, &[host, fetched]),
            Ok(())
        );
    }

    #[test]
    fn beyond_loopback_a_key_is_asked_for() {
        let digest: KeyDigest = Sha256::digest(b"open sesame").into();
        let access = Access::Keys(vec![digest].into());
        let host = ("host", "tuning.factory.example");
        assert_eq!(ask(&access, Method::GET, &[host]), Err(Refusal::Key));
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Bearer wrong")]
            ),
            Err(Refusal::Unknown)
        );
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Basic !!!")]
            ),
            Err(Refusal::Key)
        );
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Bearer open sesame")]
            ),
            Ok(())
        );
        let basic = base64::engine::general_purpose::STANDARD.encode("anyone:open sesame");
        let basic = format!("Basic {basic}");
        assert_eq!(
            ask(&access, Method::GET, &[host, ("authorization", &basic)]),
            Ok(())
        );
        let nobody = Access::Keys(Arc::from([]));
        assert_eq!(
            ask(&nobody, Method::GET, &[host, ("authorization", "Bearer ")]),
            Err(Refusal::Unknown)
        );
    }

    fn issued(key: &str, scopes: &[Scope]) -> TokenRow {
        let digest = Digest::of(key.as_bytes());
        TokenRow {
            id: digest.short(),
            name: key.to_owned(),
            digest,
            scopes: scopes.to_vec(),
            models: Vec::new(),
            project: lathe_workshop::people::COMMON.to_owned(),
            allowance: Allowance::default(),
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
            last_used_ms: None,
        }
    }

    #[test]
    fn once_a_key_was_issued_each_path_asks_for_its_scope() {
        let rows = [
            issued("answer", &[Scope::Answer]),
            issued("feedback", &[Scope::Feedback]),
            issued("tune", &[Scope::Tune]),
            issued("models", &[Scope::Models]),
            issued("metrics", &[Scope::Metrics]),
            issued("admin", &[Scope::Admin]),
        ];
        let guard = Guard {
            access: Access::Loopback,
            tokens: Tokens::of_rows(rows),
            people: People::default(),
        };
        let opened_by = |method: Method, path: &'static str| {
            let keys = ["answer", "feedback", "tune", "models", "metrics", "admin"];
            let opens = |key: &&str| {
                let bearer = format!("Bearer {key}");
                let pairs = headers(&[("host", "localhost"), ("authorization", &bearer)]);
                check(&guard, &method, &Uri::from_static(path), &pairs, None).is_ok()
            };
            keys.into_iter().filter(opens).collect::<Vec<_>>()
        };
        let opened = |path: &'static str| opened_by(Method::GET, path);
        for path in [
            "/v1/models",
            "/v1/chat/completions",
            "/v1/none",
            "/v1/feedbacks",
            "/openapi.json",
        ] {
            assert_eq!(opened(path), ["answer", "admin"], "{path}");
        }
        assert_eq!(opened("/v1/feedback"), ["feedback", "admin"]);
        assert_eq!(opened("/metrics"), ["metrics", "admin"]);
        for path in ["/v1/files", "/v1/files/x", "/v1/fine_tuning/jobs"] {
            assert_eq!(opened(path), ["tune", "admin"], "{path}");
        }
        let alias = "/api/2.0/mlflow/registered-models/alias";
        for path in [
            alias,
            "/hf/api/models",
            "/api/2.0/mlflow/registered-models/search",
            "/api/2.0/mlflow-artifacts/artifacts/models/m/1/a",
        ] {
            assert_eq!(opened(path), ["models", "admin"], "{path}");
        }
        // What says which version answers is the administrator's.
        for method in [Method::POST, Method::DELETE] {
            assert_eq!(opened_by(method, alias), ["admin"]);
        }
        for path in ["/", "/api", "/api/operations", "/hfx", "/api/2.0/mlflows"] {
            assert_eq!(opened(path), ["admin"], "{path}");
        }
        let nobody = |path: &'static str| {
            let pairs = headers(&[("host", "localhost")]);
            check(&guard, &Method::GET, &Uri::from_static(path), &pairs, None)
        };
        for path in ["/", "/api", "/v1/models", "/metrics"] {
            assert_eq!(nobody(path).err(), Some(Refusal::Key), "{path}");
        }
        for path in ["/health", "/health/live", "/health/ready"] {
            assert!(matches!(nobody(path), Ok(Asking::Stranger)), "{path}");
        }
    }
}
