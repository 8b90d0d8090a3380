//! How far whoever asks reaches: to the things of which projects. It stands around the work that is done for
//! them, as the audit's name does, so that lists leave out what they may not read and no handler can forget
//! to say for whom it asks.
//!
//! Where nobody is asked who they are there is none, and everything is reached: the workshop's own work, the
//! commands of the home's user, keys of the whole workshop. Not here: what a reach is made of (the guard of
//! `lathe_web`) and the table of rights (`role.rs`).

use std::sync::Arc;

use super::{COMMON, People, Person, Right, Shown};

tokio::task_local! {
    /// Of whom something is done for.
    static REACH: Reach;
}

/// How far somebody reaches.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Somebody who is logged in: as their roles and their part in projects say at each moment.
    Person(Arc<Person>, People),
    /// A key of one project: all that its scope opens, of what belongs to that project.
    Key(String, People),
}

impl Reach {
    /// Whether it reaches what belongs to `project`, to do something with it.
    pub fn may(&self, right: Right, project: &str) -> bool {
        match self {
            Reach::Person(person, people) => people.may(person, right, project),
            Reach::Key(own, _) => own == project,
        }
    }

    /// Whether it does so in any project.
    pub fn may_anywhere(&self, right: Right) -> bool {
        match self {
            Reach::Person(person, people) => people.may_anywhere(person, right),
            Reach::Key(..) => true,
        }
    }

    /// Whether it does so in what is the whole workshop's.
    pub fn may_here(&self, right: Right) -> bool {
        match self {
            Reach::Person(person, _) => person.may(right),
            Reach::Key(..) => false,
        }
    }

    /// Of which projects it is shown what this right shows.
    pub fn shown(&self, right: Right) -> Shown {
        match self {
            Reach::Person(person, people) => people.shown_to(person, right),
            Reach::Key(own, _) => Shown::Only(vec![own.clone()]),
        }
    }

    /// Whether it reaches what has this name: a model that answers, a pack.
    pub fn may_name(&self, right: Right, name: &str) -> bool {
        let (Reach::Person(_, people) | Reach::Key(_, people)) = self;
        self.may(right, &people.project_of_name(name))
    }

    /// The project of what it makes and names none for.
    fn home(&self) -> &str {
        match self {
            Reach::Person(..) => COMMON,
            Reach::Key(own, _) => own,
        }
    }
}

/// Does `work` for somebody who reaches so far; as far as anybody where there is none.
pub async fn within<T>(reach: Option<Reach>, work: impl Future<Output = T>) -> T {
    match reach {
        Some(reach) => REACH.scope(reach, work).await,
        None => work.await,
    }
}

/// How far whoever this is done for reaches; none where everything is reached.
pub fn now() -> Option<Reach> {
    REACH.try_with(Clone::clone).ok()
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
