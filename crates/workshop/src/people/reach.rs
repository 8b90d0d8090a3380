//! How far whoever asks reaches: to the things of which projects. It stands around the work that is done for
//! them, as the audit's name does, so that lists leave out what they may not read and no handler can forget
//! to say for whom it asks.
//!
//! Work is somebody's, or the workshop's own, which says so ([`own`]) and reaches everything: its queue, keys of
//! the whole workshop, what is asked where nobody is asked who they are. What a process begins with is its own
//! user's, and reaches everything, too: a command, the start of a daemon. Everything else is nobody's. A task that
//! was spawned without being told for whom reaches nothing, so that work which comes out of the scope it was
//! begun in shows too little and never too much. [`spawn`] and [`spawn_blocking`] tell it, and clippy refuses
//! tokio's own (`clippy.toml`).
//!
//! Not here: what a reach is made of (the guard of `lathe_web`) and the table of rights (`role.rs`). A thread of
//! its own is taken for the beginning of a process: it reads no lists, which are read where tokio runs.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{COMMON, People, Person, Right, Shown};

tokio::task_local! {
    /// Of whom something is done for; none for the workshop's own work.
    static REACH: Option<Reach>;
}

/// How far somebody reaches.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Somebody who is logged in: as their roles and their part in projects say at each moment.
    Person(Arc<Person>, People),
    /// A key of one project: all that its scope opens, of what belongs to that project.
    Key(String, People),
    /// Nobody: a stranger, and work that was not told for whom it is done. Nothing is reached.
    Nobody,
}

impl Reach {
    /// Whether it reaches what belongs to `project`, to do something with it.
    pub fn may(&self, right: Right, project: &str) -> bool {
        match self {
            Reach::Person(person, people) => people.may(person, right, project),
            Reach::Key(own, _) => own == project,
            Reach::Nobody => false,
        }
    }

    /// Whether it does so in any project.
    pub fn may_anywhere(&self, right: Right) -> bool {
        match self {
            Reach::Person(person, people) => people.may_anywhere(person, right),
            Reach::Key(..) => true,
            Reach::Nobody => false,
        }
    }

    /// Whether it does so in what is the whole workshop's.
    pub fn may_here(&self, right: Right) -> bool {
        match self {
            Reach::Person(person, _) => person.may(right),
            Reach::Key(..) | Reach::Nobody => false,
        }
    }

    /// Of which projects it is shown what this right shows.
    pub fn shown(&self, right: Right) -> Shown {
        match self {
            Reach::Person(person, people) => people.shown_to(person, right),
            Reach::Key(own, _) => Shown::Only(vec![own.clone()]),
            Reach::Nobody => Shown::Only(Vec::new()),
        }
    }

    /// Whether it reaches what has this name: a model that answers, a pack.
    pub fn may_name(&self, right: Right, name: &str) -> bool {
        match self {
            Reach::Person(_, people) | Reach::Key(_, people) => {
                self.may(right, &people.project_of_name(name))
            }
            Reach::Nobody => false,
        }
    }

    /// The same for work that goes on for long: with the roles that the person has by now, nobody where they
    /// were forgotten meanwhile.
    #[must_use]
    pub fn anew(self) -> Reach {
        match self {
            Reach::Person(person, people) => match people.find(&person.row.name) {
                Some(person) => Reach::Person(person, people),
                None => Reach::Nobody,
            },
            other => other,
        }
    }

    /// The project of what it makes and names none for.
    fn home(&self) -> &str {
        match self {
            Reach::Person(..) | Reach::Nobody => COMMON,
            Reach::Key(own, _) => own,
        }
    }
}

/// Does `work` for somebody who reaches so far; as the workshop's own where there is none.
pub async fn within<T>(reach: Option<Reach>, work: impl Future<Output = T>) -> T {
    REACH.scope(reach, work).await
}

/// Does `work` as the workshop's own, which reaches everything.
pub async fn own<T>(work: impl Future<Output = T>) -> T {
    within(None, work).await
}

/// Spawns a task that works for whoever this is done for.
#[expect(clippy::disallowed_methods, reason = "it tells the task for whom")]
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(within(now(), work))
}

/// Does `work` for whoever this is done for, where threads may wait.
#[expect(clippy::disallowed_methods, reason = "it tells the work for whom")]
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let reach = now();
    tokio::task::spawn_blocking(move || REACH.sync_scope(reach, work))
}

/// How far whoever this is done for reaches; none where everything is reached.
pub fn now() -> Option<Reach> {
    match REACH.try_with(Clone::clone) {
        Ok(reach) => reach,
        // Not a task that somebody spawned: what the process began with.
        Err(_) if tokio::task::try_id().is_none() => None,
        Err(_) => Some(Reach::Nobody),
    }
}

/// Of which projects they are shown what this right shows.
pub fn shown(right: Right) -> Shown {
    now().map_or(Shown::All, |reach| reach.shown(right))
}

/// Whether there is a project in which they may do something.
pub fn may_anywhere(right: Right) -> bool {
    now().is_none_or(|reach| reach.may_anywhere(right))
}

/// Whether they reach what has this name.
pub fn may_name(right: Right, name: &str) -> bool {
    now().is_none_or(|reach| reach.may_name(right, name))
}

/// The project of what they make and name none for.
pub(crate) fn home() -> String {
    now().map_or(COMMON.to_owned(), |reach| reach.home().to_owned())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what they do is told apart here")]
mod tests {
    use super::*;
    use crate::listing::OrdersAsked;
    use crate::people::ProjectRequest;
    use crate::testing::{placed, shop};
    use crate::{Operation, OrderId, Workshop};

    fn key(people: &People) -> Option<Reach> {
        Some(Reach::Key("ward".to_owned(), people.clone()))
    }

    fn ward() -> Shown {
        Shown::Only(vec!["ward".to_owned()])
    }

    #[tokio::test]
    async fn what_is_spawned_works_for_whom_it_was_begun() {
        let (_folder, shop) = shop().await;
        let asked = || shown(Right::Look);
        let people = shop.people().clone();
        let told = within(key(&people), async move {
            let task = spawn(async move { asked() }).await.unwrap();
            let blocking = spawn_blocking(asked).await.unwrap();
            // From within each other, too.
            let deep = spawn(async move { spawn_blocking(asked).await.unwrap() });
            [task, blocking, deep.await.unwrap()]
        });
        assert_eq!(told.await, [ward(), ward(), ward()]);
        // The workshop's own stays its own, whoever's request it is begun in.
        let begun = within(key(&people), async move {
            spawn(own(async move { asked() })).await.unwrap()
        });
        assert_eq!(begun.await, Shown::All);
        assert_eq!(spawn(async move { asked() }).await.unwrap(), Shown::All);
        shop.stop().await;
    }

    /// How many orders and projects are listed.
    async fn lists(shop: Workshop) -> (usize, Result<usize, &'static str>) {
        let asked = OrdersAsked::default();
        let orders = shop.orders(&asked, 50, 0).await.unwrap();
        let projects = shop.operate(Operation::Projects {}).await;
        let count = |it: serde_json::Value| it["projects"].as_array().map_or(0, Vec::len);
        (orders.len(), projects.map(count).map_err(|it| it.code()))
    }

    #[tokio::test]
    async fn a_task_that_was_not_told_for_whom_reaches_nothing() {
        let (_folder, shop) = shop().await;
        let make = ProjectRequest {
            id: "ward".to_owned(),
            name: String::new(),
        };
        shop.operate(Operation::ProjectCreate(make)).await.unwrap();
        let id = OrderId::new();
        shop.store().apply(&[placed(&id)]).await.unwrap();
        assert_eq!(lists(shop.clone()).await, (1, Ok(2)));
        let astray = shop.clone();
        let told = tokio::spawn(async move { lists(astray).await });
        assert_eq!(told.await.unwrap(), (0, Err("right-denied")));
        let told = tokio::task::spawn_blocking(|| {
            let is_reached = may_anywhere(Right::Look) || may_name(Right::Look, "care");
            (shown(Right::Look), is_reached)
        });
        assert_eq!(told.await.unwrap(), (Shown::Only(Vec::new()), false));
        // Where it says that it is the workshop's own, it reaches everything.
        let told = tokio::spawn(own(lists(shop.clone())));
        assert_eq!(told.await.unwrap(), (1, Ok(2)));
        shop.stop().await;
    }
}
