//! Opening the workshop's ledger: begun where there is none, verified as a whole where there is one.
//!
//! A ledger that does not hold is no error here: the workshop opens, says what is wrong, and serves
//! nothing (`Store::ledger` refuses). Not here: the rows (`store::ledger`), the keys (`keyring`).

use lathe_evidence::statement::{ApprovalPolicy, Role, Statement, Workshop};
use lathe_ledger::SigningKey;
use lathe_ledger::history::{History, Trust};

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::keyring::Keyring;
use crate::store::{Ledger, Store};

/// What every origin begins with; the id of the first key makes it unique.
const ORIGIN: &str = "lathe.workshop/";

/// Opens the ledger of a store.
///
/// # Errors
/// `store`; a key that cannot be read or made; `ledger-key-missing` when the home has none of the
/// keys that the ledger knows.
pub(crate) async fn open(
    store: &Store,
    home: &Home,
    approval: ApprovalPolicy,
) -> Result<(), WorkshopError> {
    let ledger = match store.verify_ledger(&Trust::default()).await? {
        None => {
            let key = Keyring::first(home)?;
            let history = store.begin_ledger(&genesis(&key, approval), &key).await?;
            Ok(Ledger::new(history, key))
        }
        Some(Err(problems)) => {
            for problem in &problems {
                tracing::error!("the ledger does not hold: {problem}");
            }
            Err(problems)
        }
        Some(Ok(history)) => {
            let key = signing_key(&history, home)?;
            Ok(Ledger::new(history, key))
        }
    };
    store.set_ledger(ledger);
    Ok(())
}

/// The first statement: this key, its roles, who approves.
fn genesis(key: &SigningKey, approval: ApprovalPolicy) -> Statement {
    let public = key.public();
    let id = public.id();
    let said = Workshop {
        origin: format!("{ORIGIN}{}", &id.to_string()[..16]),
        key: public.to_record("workshop", &own_roles(approval)),
        approval,
        at_ms: now_ms(),
    };
    Statement::of("workshop", id, said)
}

/// What the workshop's own key may sign: everything, but where somebody else has to approve.
pub(crate) fn own_roles(approval: ApprovalPolicy) -> Vec<Role> {
    Role::ALL
        .into_iter()
        .filter(|role| approval == ApprovalPolicy::Itself || *role != Role::Approver)
        .collect()
}

/// The newest key that lies in the home and may sign as root.
///
/// # Errors
/// A key that cannot be read; `ledger-key-missing`.
pub(crate) fn signing_key(history: &History, home: &Home) -> Result<SigningKey, WorkshopError> {
    let ring = Keyring::load(home)?;
    let mut known: Vec<_> = history
        .keys()
        .filter(|key| key.stands() && key.has(Role::Root))
        .collect();
    known.sort_by_key(|key| std::cmp::Reverse(key.added));
    let found = known.iter().find_map(|key| ring.find(&key.record.id));
    found.cloned().ok_or_else(|| {
        WorkshopError::new(
            "ledger-key-missing",
            format!(
                "{} holds none of the keys that this ledger may be continued with",
                home.keys().display()
            ),
            "put the workshop's key back from its backup",
        )
    })
}
