//! What waits for somebody's approval, with who decides about it: on the register, on the registration and on the
//! order; and on the first page, how many wait for whoever reads.
//!
//! Where the workshop's own key signs what people decide, whoever may decides on the page, and others are told
//! where it is done. Elsewhere the commands stand there: an approver's key never comes here. What rests on withdrawn
//! data is offered to be rejected alone, with what was withdrawn.

use lathe_evidence::statement::Approval;
use lathe_workshop::WorkshopError;
use lathe_workshop::people::{Right, reach};
use lathe_workshop::store::PendingRow;
use lathe_workshop::trace::{ChainView, Said};

use super::basis::Basis;
use super::chain::{self, EntryLink};
use super::playground::encoded;
use super::short;
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

/// The most that are counted on the first page.
const COUNTED_MAX: u32 = 100;

/// A model that waits.
pub(super) struct Pending {
    pub number: String,
    pub name: String,
    pub href: String,
    pub order_href: String,
    /// Whether this is its registration's page, or its order's: neither leads to itself.
    pub is_registration: bool,
    pub is_order: bool,
    /// Who placed the order, in words; empty where it was nobody with an account.
    pub author: String,
    /// Who rejected the same model before, and why; none where nobody did.
    pub before: Option<String>,
    pub at: String,
    pub at_text: String,
    /// Who decides, and how.
    pub way: Way,
    /// The same in words.
    pub way_text: String,
    /// What answers under the name until then: the page of its order, and what that is called.
    pub meanwhile: Option<(String, String)>,
    /// What was measured of it; none where that was not kept.
    pub basis: Option<Basis>,
    /// The command that approves it; empty where nobody can.
    pub approve: String,
    pub reject: String,
    /// Where the decision of whoever is logged in goes.
    pub decide_href: String,
    /// What of the data that it rests on was withdrawn.
    pub taken: Vec<Taken>,
}

/// Data that was withdrawn.
pub(super) struct Taken {
    pub dataset: String,
    pub reason: String,
    pub entry: EntryLink,
}

/// Who decides about it, as far as whoever reads is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Whoever reads.
    Here,
    /// Somebody else: whoever reads placed the order, and may reject it alone.
    Own,
    /// Whoever reads, who may only reject it: data that it rests on was withdrawn.
    Withdrawn,
    /// Approvers, of whom whoever reads is none.
    Others,
    /// Somebody with a key of their own.
    Key,
}

impl Way {
    fn of(tongue: &Tongue, row: &PendingRow, author: Option<&str>) -> Way {
        let Some(who) = tongue.who.as_ref().filter(|who| who.decides_here) else {
            return Way::Key;
        };
        if !reach::may_name(Right::Approve, &row.name) {
            return Way::Others;
        }
        match author == Some(&who.person.told()[..]) {
            true => Way::Own,
            false => Way::Here,
        }
    }

    fn key(self, is_registration: bool) -> &'static str {
        match self {
            Way::Own if is_registration => "web.pending.own.here",
            Way::Others if is_registration => "web.pending.others.here",
            Way::Here => "web.pending.here",
            Way::Own => "web.pending.own",
            Way::Withdrawn => "web.pending.withdrawn",
            Way::Others => "web.pending.others",
            Way::Key => "web.pending.key",
        }
    }

    pub(super) fn approves(&self) -> bool {
        *self == Way::Here
    }

    pub(super) fn rejects(&self) -> bool {
        matches!(self, Way::Here | Way::Own | Way::Withdrawn)
    }

    pub(super) fn is_key(&self) -> bool {
        *self == Way::Key
    }
}

impl Pending {
    /// Data that it rests on was withdrawn: it is no longer offered to approve it.
    pub(super) fn take_back(&mut self, say: Say, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        self.taken = taken;
        self.way = match self.way {
            Way::Here | Way::Own | Way::Withdrawn => Way::Withdrawn,
            other => other,
        };
        self.way_text = match self.way {
            Way::Key => say.it("web.pending.key.withdrawn"),
            way => say.it(way.key(self.is_registration)),
        };
        self.approve.clear();
    }
}

/// What waits, as it is shown to whoever reads the page `here`.
pub(super) async fn shown(
    state: &AppState,
    tongue: &Tongue,
    rows: &[PendingRow],
    here: &str,
) -> Result<Vec<Pending>, WorkshopError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let deployments = state.desk.deployments().await?;
    let numbers: Vec<&str> = rows.iter().map(|it| it.number.as_str()).collect();
    let rejections = state.desk.rejections(&numbers).await?;
    let say = tongue.say;
    let mut all = Vec::new();
    for row in rows {
        let author = state.desk.author(&row.order).await?;
        let author = author.as_deref();
        let way = Way::of(tongue, row, author);
        let person = author.and_then(|it| it.strip_prefix("person "));
        let of_it = |it: &&Said<Approval>| it.said.number == row.number && it.subject == row.model;
        let before = rejections.iter().find(of_it);
        let href = format!("/register/{}", encoded(&row.number));
        let order_href = format!("/orders/{}", row.order);
        let is_registration = href == here;
        let answers = deployments.iter().find(|it| it.name == row.name);
        let basis = Basis::read(state, say, row, answers).await?;
        let number = &row.number;
        let mut pending = Pending {
            is_registration,
            is_order: order_href == here,
            author: person.map_or_else(String::new, |it| say.of("web.pending.author", it)),
            before: before.map(|it| rejected(say, "web.pending.before", it)),
            href,
            decide_href: format!("/register/{}/decide", encoded(number)),
            order_href,
            at: format::moment(row.at_ms),
            at_text: format::moment_text(row.at_ms),
            way,
            way_text: say.it(way.key(is_registration)),
            meanwhile: answers.map(|it| {
                let href = format!("/orders/{}", it.order);
                (href, short(&it.order.0).to_owned())
            }),
            basis,
            approve: format!("lathe approve {number} --key KEY-FILE --reason \"…\""),
            reject: format!("lathe approve {number} --key KEY-FILE --reject --reason \"…\""),
            number: row.number.clone(),
            name: row.name.clone(),
            taken: Vec::new(),
        };
        // The registration's page reads what waits there itself.
        if !is_registration {
            let waiting = state.desk.waiting(row).await?;
            pending.take_back(say, taken(say, &waiting.chain));
        }
        all.push(pending);
    }
    Ok(all)
}

/// What of the data behind a model was withdrawn, by the name of the dataset.
pub(super) fn taken(say: Say, chain: &ChainView) -> Vec<Taken> {
    let withdrawn = chain.withdrawn.iter().map(|it| {
        let dataset = chain.datasets.iter().find(|of| of.subject == it.dataset);
        Taken {
            dataset: dataset.map_or_else(|| it.dataset.short(), |of| of.said.name.clone()),
            reason: it.withdrawal.said.reason.clone(),
            entry: chain::entry(say, &it.withdrawal),
        }
    });
    withdrawn.collect()
}

/// A rejection in the words of `key`, which has room for who and why.
pub(super) fn rejected(say: Say, key: &str, it: &Said<Approval>) -> String {
    say.with(key, &[("by", it.by()), ("reason", it.said.why())])
}

/// How many models wait that whoever is logged in may decide about, in words; none where there are none.
pub(super) async fn notice(
    state: &AppState,
    tongue: &Tongue,
) -> Result<Option<String>, WorkshopError> {
    if tongue.who.is_none() || !reach::may_anywhere(Right::Approve) {
        return Ok(None);
    }
    let count = match state.desk.pending_count(COUNTED_MAX).await? {
        0 => return Ok(None),
        COUNTED_MAX => format!("{}+", COUNTED_MAX - 1),
        few => few.to_string(),
    };
    Ok(Some(tongue.say.of("web.pending.notice", count)))
}
