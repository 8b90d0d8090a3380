//! The pages people read, rendered on the server.
//!
//! Each page is a view struct filled from the desk and a template beside it in `templates/`. What
//! a page shows is decided in the struct, as finished text; the template only places it. Not here:
//! JSON (`crate::api`) and words (the catalogue).

mod account;
mod alert;
mod answer;
mod answering;
mod audit;
mod basis;
mod breaker;
mod bring;
mod chain;
mod change;
mod compare;
mod curve;
mod data_compare;
mod dataset;
mod datasets;
mod decide;
mod deployment;
mod fault;
mod fields;
mod filing;
mod gate;
mod in_path;
mod keys;
mod ledger;
mod lesson;
mod login;
mod model;
mod models;
mod new_order;
mod note;
mod order;
mod orders;
mod parameters;
mod pending;
mod people;
mod playground;
mod projects;
mod receipt;
mod receipts;
mod record;
mod records;
mod refused;
mod register;
mod report;
mod retune;
mod review;
mod settings;
mod steps;
mod tour;
mod withdraw;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use lathe_workshop::bring::BROUGHT_BYTES_MAX;
use lathe_workshop::people::{Right, Signed, reach};
use lathe_workshop::{Operation, WorkshopError};
use serde::de::DeserializeOwned;

pub(crate) use self::fault::sentences;

use self::alert::Alert;
use crate::AppState;
use crate::api;
use crate::assets::{self, Addresses};
use crate::lang::{Say, Tongue};

/// Size of a form that brings a file: the file, and what is around it.
const FORM_BYTES_MAX: usize = BROUGHT_BYTES_MAX as usize + (64 << 10);

/// Address and handler of every page.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(orders::page))
        .route("/orders", get(orders::page).post(orders::place))
        .route("/orders/new", get(new_order::page).post(new_order::act))
        .route("/orders/compare", get(compare::page))
        .route("/orders/{id}", get(order::page))
        .route("/orders/{id}/live", get(order::live))
        .route("/orders/{id}/lesson", get(lesson::page))
        .route("/orders/{id}/pause", post(change::pause))
        .route("/orders/{id}/resume", post(change::resume))
        .route("/orders/{id}/cancel", post(change::cancel))
        .route("/orders/{id}/clone", get(change::form).post(change::clone))
        .route("/models", get(models::page))
        .route("/models/{digest}", get(model::page))
        .route("/try", get(playground::page).post(playground::ask))
        .route("/try/answer", post(playground::show_answer))
        .route("/data", get(datasets::page))
        .route("/data/compare", get(data_compare::page))
        .route(
            "/data/bring",
            get(bring::page)
                .post(bring::take)
                .layer(DefaultBodyLimit::max(FORM_BYTES_MAX)),
        )
        .route("/data/bring/{id}", get(bring::file).post(bring::act))
        .route("/data/{digest}", get(dataset::page))
        .route("/data/{digest}/records", get(records::page))
        .route("/tour", get(tour::page).post(tour::ask))
        .route("/tour/flip", get(tour::page).post(tour::flip))
        .route("/receipts", get(receipts::list))
        .route("/receipts/{id}", get(receipt::page))
        .route("/review", get(review::page).post(review::act))
        .route("/review/learn", post(review::learn))
        .route("/records/{leaf}", get(record::page))
        .route(
            "/records/{leaf}/withdraw",
            get(withdraw::confirm).post(withdraw::withdraw),
        )
        .route("/deployments/{name}", get(breaker::page))
        .route("/deployments/{name}/bundle", post(breaker::bundle))
        .route("/register", get(register::list))
        .route("/register/{number}", get(register::page))
        .route("/register/{number}/dossier", get(register::dossier))
        .route("/register/{number}/filing", get(filing::page))
        .route("/register/{number}/filing/package", get(filing::package))
        .route("/register/{number}/decide", post(decide::decide))
        .route("/ledger", get(ledger::list))
        .route("/ledger/{entry}", get(ledger::entry))
        .merge(offices())
        .fallback(nowhere)
}

/// The pages about who comes in and may do what.
fn offices() -> Router<AppState> {
    Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .route("/login/oidc/{name}", get(login::begin))
        .route("/login/oidc/{name}/back", get(login::end))
        .route("/logout", post(login::log_out))
        .route("/account", get(account::page))
        .route("/account/password", post(account::password))
        .route("/account/sessions/end", post(account::end_others))
        .route("/account/sessions/{id}/end", post(account::end_session))
        .route("/people", get(people::list).post(people::add))
        .route("/people/{name}", get(people::one))
        .route("/people/{name}/roles", post(people::roles))
        .route("/people/{name}/password", post(people::password))
        .route("/people/{name}/disable", post(people::disable))
        .route("/people/{name}/enable", post(people::enable))
        .route("/projects", get(projects::list).post(projects::create))
        .route("/projects/{id}", get(projects::one))
        .route("/projects/{id}/name", post(projects::rename))
        .route("/projects/{id}/delete", post(projects::delete))
        .route("/projects/{id}/members", post(projects::member))
        .route("/projects/{id}/leave", post(projects::leave))
        .route("/audit", get(audit::page))
        .route("/settings", get(settings::page))
        .route("/keys", get(keys::list).post(keys::issue))
        .route("/keys/{id}/revoke", post(keys::revoke))
}

/// What every page has around its content.
struct Frame {
    say: Say,
    section: &'static str,
    other_href: String,
    cookie: Option<String>,
    who: Option<Signed>,
}

impl Frame {
    fn new(tongue: Tongue, section: &'static str) -> Frame {
        let Tongue {
            say,
            cookie,
            other_href,
            who,
        } = tongue;
        Frame {
            say,
            section,
            other_href,
            cookie,
            who,
        }
    }

    /// What people call whoever reads; none where nobody is logged in.
    fn reader(&self) -> Option<&str> {
        self.who.as_ref().map(|who| who.person.row.display.as_str())
    }

    /// What every form carries; empty where nobody is logged in, whose forms need nothing.
    fn csrf(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.csrf)
    }

    /// Whether whoever reads may open the ledger's pages, which are the whole workshop's.
    fn reads_ledger(&self) -> bool {
        reach::now().is_none_or(|it| it.may_here(Right::Look))
    }

    /// Whether whoever reads may place orders somewhere.
    fn tunes(&self) -> bool {
        reach::may_anywhere(Right::Tune)
    }

    /// Whether whoever reads may bring data, and judge what callers say, somewhere.
    fn brings(&self) -> bool {
        reach::may_anywhere(Right::Data)
    }

    /// Whether whoever reads may ask models somewhere.
    fn asks(&self) -> bool {
        reach::may_anywhere(Right::Ask)
    }

    /// Whether whoever reads may see records, and the texts of answers, somewhere.
    fn sees_records(&self) -> bool {
        reach::may_anywhere(Right::Records)
    }

    /// Whether whoever reads may take records back, which is the whole workshop's.
    fn withdraws(&self) -> bool {
        reach::now().is_none_or(|it| it.may_here(Right::Data))
    }

    /// Name and address of what only some may open, by one of the rights: what whoever reads may, and all
    /// where nobody is logged in.
    fn offices(&self) -> Vec<(&'static str, &'static str)> {
        let all: [(&'static str, &'static str, &[Right], bool); 5] = [
            ("projects", "/projects", &[Right::Look], false),
            ("people", "/people", &[Right::People], true),
            ("keys", "/keys", &[Right::Operate], false),
            ("audit", "/audit", &[Right::Audit], true),
            (
                "settings",
                "/settings",
                &[Right::Operate, Right::Audit],
                true,
            ),
        ];
        let reach = reach::now();
        let open = all
            .into_iter()
            .filter(|(_, _, rights, of_all)| match (&self.who, &reach) {
                (None, _) => true,
                (Some(_), Some(reach)) if !of_all => {
                    rights.iter().any(|it| reach.may_anywhere(*it))
                }
                (Some(who), _) => rights.iter().any(|it| who.person.may(*it)),
            });
        open.map(|(name, href, ..)| (name, href)).collect()
    }

    /// `page`, which stands in this frame, as an answer in the frame's language.
    fn answer(&self, status: StatusCode, page: &impl Template) -> Response {
        let mut response = html(status, page);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept-Language, Cookie"));
        let cookie = self
            .cookie
            .as_deref()
            .and_then(|cookie| HeaderValue::from_str(cookie).ok());
        if let Some(cookie) = cookie {
            headers.insert(SET_COOKIE, cookie);
        }
        response
    }

    fn assets(&self) -> &'static Addresses {
        assets::addresses()
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Name and address of the parts of the workshop, as the navigation lists them. The ledger is the whole
    /// workshop's, and not for whoever has a part in projects alone; what asks models is for whoever may.
    fn sections(&self) -> Vec<(&'static str, &'static str)> {
        let is_whole = self.reads_ledger();
        let all = [
            ("orders", "/"),
            ("data", "/data"),
            ("models", "/models"),
            ("try", "/try"),
            ("receipts", "/receipts"),
            ("register", "/register"),
            ("ledger", "/ledger"),
        ];
        let open = all.into_iter().filter(|it| match it.0 {
            "ledger" => is_whole,
            "try" => self.asks(),
            _ => true,
        });
        open.collect()
    }
}

/// A rendered template as HTML that is never cached.
fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(CACHE_CONTROL, "no-store")], Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What an operation answers, as its type.
async fn asked<T: DeserializeOwned>(
    state: &AppState,
    operation: Operation,
) -> Result<T, WorkshopError> {
    let value = state.desk.operate(operation).await?;
    serde_json::from_value(value).map_err(|error| {
        WorkshopError::new(
            "internal",
            format!("the workshop answered something else than was asked: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })
}

/// A page that could not be shown; rendered where the language is known.
#[derive(Debug)]
enum Problem {
    /// Nothing stands at this address.
    Missing,
    /// The workshop could not answer.
    Workshop(WorkshopError),
    /// Whoever asks lacks the right.
    Denied(Right),
    /// What was sent does not carry the token of our pages.
    Stale,
    /// The model server refused.
    Refused { status: StatusCode, text: String },
}

impl From<WorkshopError> for Problem {
    fn from(error: WorkshopError) -> Problem {
        Problem::Workshop(error)
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    title: String,
    text: String,
    /// What to do; empty where the text says it.
    next: String,
    /// What the error said, in English; empty where the rest says it all.
    said: String,
    code: String,
}

/// What a page says of a problem.
struct Said {
    status: StatusCode,
    title: String,
    told: Alert,
    code: String,
}

impl Problem {
    fn page(self, tongue: Tongue) -> Response {
        let Said {
            status,
            title,
            told: Alert { text, next, said },
            code,
        } = self.said(tongue.say);
        let frame = Frame::new(tongue, "");
        let page = ProblemPage {
            frame,
            title,
            text,
            next,
            said,
            code,
        };
        page.frame.answer(status, &page)
    }

    fn said(self, say: Say) -> Said {
        let said = |status, title: &str, text: String, code: &str| Said {
            status,
            title: say.it(title),
            told: Alert::own(&text, ""),
            code: code.to_owned(),
        };
        match self {
            Problem::Missing => {
                let text = say.it("web.problem.of.not-found");
                said(StatusCode::NOT_FOUND, "web.problem.missing", text, "")
            }
            Problem::Workshop(error) => {
                let status = api::status_of(&error);
                // What was asked for cannot be; only the rest is the workshop's fault.
                let title = match status.is_client_error() {
                    true => "web.problem.refused",
                    false => "web.problem.workshop",
                };
                Said {
                    status,
                    title: say.it(title),
                    told: Alert::new(say, &error),
                    code: error.code().to_owned(),
                }
            }
            Problem::Denied(right) => {
                let right = say.it_of("web.right", right.name());
                let text = say.of("web.problem.denied.text", right);
                let status = StatusCode::FORBIDDEN;
                said(status, "web.problem.denied", text, "right-denied")
            }
            Problem::Stale => {
                let text = say.it("web.problem.of.csrf-refused");
                let status = StatusCode::FORBIDDEN;
                said(status, "web.problem.stale", text, "csrf-refused")
            }
            Problem::Refused { status, text } => said(status, "web.problem.workshop", text, ""),
        }
    }
}

/// To the page where one logs in, and back from there to what was asked for.
pub(crate) fn to_login(parts: &Parts) -> Response {
    let asked = match parts.method {
        Method::GET => parts.uri.path_and_query().map_or("/", |it| it.as_str()),
        _ => "/",
    };
    Redirect::to(&format!("/login?next={}", playground::encoded(asked))).into_response()
}

/// The page for somebody who lacks a right.
pub(crate) async fn denied(parts: &mut Parts, right: Right) -> Response {
    let Ok(tongue) = Tongue::from_request_parts(parts, &()).await;
    Problem::Denied(right).page(tongue)
}

/// The page for what is not there, as far as whoever asks may know.
pub(crate) async fn missing(parts: &mut Parts) -> Response {
    let Ok(tongue) = Tongue::from_request_parts(parts, &()).await;
    Problem::Missing.page(tongue)
}

/// The page for a form without the token of our pages.
pub(crate) async fn stale(parts: &mut Parts) -> Response {
    let Ok(tongue) = Tongue::from_request_parts(parts, &()).await;
    Problem::Stale.page(tongue)
}

/// Whatever no route knows: a page for people, JSON for programs.
async fn nowhere(tongue: Tongue, request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/v1/") {
        return api::Problem::no_such_endpoint(path).into_response();
    }
    Problem::Missing.page(tongue)
}

/// `?page=` of a list, and the links to its neighbours.
struct Pager {
    earlier: Option<String>,
    later: Option<String>,
}

/// Rows on one page of a list.
const PAGE_ROWS: u32 = 50;
/// Pages one can turn to; it keeps the offset a number the store accepts.
const PAGE_MAX: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
struct PageNumber {
    #[serde(default)]
    page: u32,
}

impl PageNumber {
    fn offset(self) -> u32 {
        self.page.min(PAGE_MAX) * PAGE_ROWS
    }

    /// The links from this page of `path`; `rows` is what was read, one more than is shown.
    fn pager(self, path: &str, rows: usize) -> Pager {
        let page = self.page.min(PAGE_MAX);
        let join = if path.contains('?') { '&' } else { '?' };
        Pager {
            earlier: page
                .checked_sub(1)
                .map(|page| format!("{path}{join}page={page}")),
            later: (rows > PAGE_ROWS as usize).then(|| format!("{path}{join}page={}", page + 1)),
        }
    }
}

/// The first eight characters of a digest or the last eight of a UUIDv7, whose beginning is time.
fn short(id: &str) -> &str {
    let is_uuid = id.len() == 36 && id.is_ascii();
    let cut = if is_uuid { id.get(28..) } else { id.get(..12) };
    cut.unwrap_or(id)
}

/// Milliseconds since 1970 on this machine's clock.
fn now_ms() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}

/// How long something ran, or runs so far; empty before it began.
fn took(say: Say, started_ms: Option<i64>, ended_ms: Option<i64>) -> String {
    let Some(started) = started_ms else {
        return String::new();
    };
    let ended = ended_ms.unwrap_or_else(now_ms);
    crate::format::duration(say, u64::try_from(ended - started).unwrap_or(0))
}

/// What an order worked and waited so far, in words.
#[derive(Debug, PartialEq, Eq)]
struct Spent {
    /// How long its steps worked; empty before the first one began.
    worked: String,
    /// How long it waited, for its turn, an approval or whoever paused it; empty where that is nothing much.
    waited: String,
}

/// Less than this between the steps is no waiting.
const WAITED_MS_MIN: i64 = 10_000;

impl Spent {
    /// Of an order that was placed and ended then, and whose steps worked for so long.
    fn new(say: Say, created_ms: i64, ended_ms: Option<i64>, worked_ms: i64) -> Spent {
        let span = |ms: i64| crate::format::duration(say, u64::try_from(ms).unwrap_or(0));
        let waited_ms = ended_ms.unwrap_or_else(now_ms) - created_ms - worked_ms;
        Spent {
            worked: match worked_ms {
                0 => String::new(),
                worked => span(worked),
            },
            waited: match waited_ms {
                ..WAITED_MS_MIN => String::new(),
                waited => say.of("web.orders.waited", span(waited)),
            },
        }
    }
}

/// Whether whoever reads may do something with what belongs to `project`.
fn may_in(right: Right, project: &str) -> bool {
    reach::now().is_none_or(|it| it.may(right, project))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn what_an_order_waited_stands_apart_from_what_it_worked() {
        let say = Say::new(Lang::En);
        let hour_ms = 3_600_000;
        let spent = Spent::new(say, 0, Some(3 * hour_ms), 192_000);
        assert_eq!(spent.worked, "3 min 12 s");
        assert!(spent.waited.contains("2 h 56 min"), "{}", spent.waited);
        let at_once = Spent::new(say, 0, Some(200_000), 192_000);
        assert_eq!(at_once.waited, "");
        let queued = Spent::new(say, now_ms() - hour_ms, None, 0);
        assert_eq!(queued.worked, "");
        assert!(queued.waited.contains("1 h 0 min"), "{}", queued.waited);
    }

    #[test]
    fn what_cannot_be_is_no_failing_of_the_workshop() {
        let say = Say::new(Lang::En);
        let told = |code| {
            let error = WorkshopError::new(code, "it is so", "do another");
            Problem::from(error).said(say)
        };
        let refused = told("order-state");
        assert_eq!(refused.title, "That cannot be done");
        assert_eq!(
            (&refused.told.text[..], &refused.told.next[..]),
            ("it is so", "do another")
        );
        assert_eq!(told("store").title, "The workshop could not answer");
    }
}
