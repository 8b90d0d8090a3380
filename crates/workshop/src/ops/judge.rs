//! Whether whoever asks for an operation may: which project what it names belongs to, and the judgement over
//! that. It is asked for each operation, whichever way it came: the API's, a form's, another client's door.
//!
//! The table of rights is the people's; which right an operation asks for stands in [`super::rights`].

use lathe_evidence::statement::Withdrawn;

use super::{Operation, Right, approve};
use crate::audit;
use crate::error::WorkshopError;
use crate::people::reach::{self, Reach};
use crate::people::{AuditRow, COMMON, Judged, Thing};
use crate::token::TokenRequest;
use crate::workshop::Workshop;

/// Over what an operation asks for its right.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The whole workshop.
    Workshop,
    /// Some project: it shows, or does, what whoever asks may in each.
    Anywhere,
    /// A project that something is made in.
    Project(Option<String>),
    /// All of these.
    Things(Vec<Thing>),
    /// This one, in every project that it belongs to.
    Wherever(Thing),
}

impl Operation {
    /// Over what it asks for its right. What is not said to be a project's is the whole workshop's.
    pub(super) fn over(&self) -> Over {
        match self {
            Operation::Pending {}
            | Operation::Packs {}
            | Operation::PackShow { .. }
            | Operation::FilingCheck { .. }
            | Operation::FeedbackList(_)
            | Operation::Brought {}
            // What is done with a file that was brought is decided where it lies, by its project.
            | Operation::BringEnd { .. }
            | Operation::BringForget { .. }
            | Operation::BringLook(_)
            | Operation::BringMake(_)
            | Operation::Upstreams {}
            | Operation::Tokens {}
            | Operation::Projects {} => Over::Anywhere,
            Operation::OrderPlan(request) => Over::Project(request.project.clone()),
            Operation::OrderRecipe(asked) => Over::Project(asked.project.clone()),
            Operation::BringBegin(asked) => Over::Project(asked.project.clone()),
            Operation::TokenCreate(TokenRequest { project, .. }) => match &project[..] {
                COMMON => Over::Workshop,
                project => Over::Project(Some(project.to_owned())),
            },
            _ => self.over_named(),
        }
    }

    /// Over which things, for what names some; the whole workshop for the rest: keys that sign, upstreams and
    /// people are for all, files are written where the daemon runs.
    fn over_named(&self) -> Over {
        match self {
            Operation::ProjectShow { id }
            | Operation::ProjectRename { id, .. }
            | Operation::ProjectMember { project: id, .. }
            | Operation::ProjectLeave { project: id, .. } => one(Thing::Project(id.clone())),
            Operation::OrderPause { order }
            | Operation::OrderResume { order }
            | Operation::OrderCancel { order }
            | Operation::OrderClone { order, .. }
            | Operation::OrderClonePlan { order, .. } => one(Thing::Order(order.0.clone())),
            Operation::DataCompare { from, to } => {
                let of = |digest: &String| Thing::Artifact(digest.clone());
                Over::Things(vec![of(from), of(to)])
            }
            Operation::Withdraw {
                what: Withdrawn::Dataset(digest),
                ..
            } => Over::Wherever(Thing::Artifact(digest.to_string())),
            // What is signed says what it is about; where nothing can be read of it, whoever decides anywhere is told.
            Operation::Approve { envelope } => match approve::number_of(envelope) {
                Some(number) => one(Thing::Registration(number)),
                None => Over::Anywhere,
            },
            Operation::ApprovalDraft { number, .. }
            | Operation::Decide { number, .. }
            | Operation::Cancel { number, .. }
            | Operation::Filing { number, .. }
            | Operation::FilingPackage {
                of: number,
                folder: None,
                ..
            }
            | Operation::Dossier { number, .. } => one(Thing::Registration(number.clone())),
            Operation::Breaker { name, .. } | Operation::Flip { name } => {
                one(Thing::Name(name.clone()))
            }
            Operation::Alias(asked) => one(Thing::Name(asked.name.clone())),
            Operation::FeedbackTune(asked) => one(Thing::Name(asked.deployment.clone())),
            Operation::FeedbackDataset(asked) => match &asked.of {
                Some(name) => one(Thing::Name(name.clone())),
                // Of all names' answers.
                None => Over::Workshop,
            },
            Operation::FeedbackShow { id } => one(Thing::Feedback(id.clone())),
            Operation::FeedbackEdit(asked) => one(Thing::Feedback(asked.id.clone())),
            Operation::FeedbackReview(asked) => {
                let things = asked.ids.iter().map(|id| Thing::Feedback(id.clone()));
                Over::Things(things.collect())
            }
            Operation::TokenRevoke { id, .. } => one(Thing::Token(id.clone())),
            _ => Over::Workshop,
        }
    }
}

fn one(thing: Thing) -> Over {
    Over::Things(vec![thing])
}

impl Workshop {
    /// The projects over which whoever asks may have an operation done; none for the whole workshop, and
    /// where nobody is asked who they are. A refusal is written into the audit.
    ///
    /// # Errors
    /// `right-denied`, `not-found`, `project-unknown`; the store's.
    pub(super) async fn judge(
        &self,
        operation: &Operation,
        name: &str,
        by: Option<&str>,
    ) -> Result<Vec<String>, WorkshopError> {
        let Some(reach) = reach::now() else {
            return Ok(Vec::new());
        };
        let mut projects = Vec::new();
        let judged = self
            .judged(&reach, operation.right(), operation.over(), &mut projects)
            .await;
        if let Err(error) = &judged
            && matches!(error.code(), "right-denied" | "not-found")
        {
            let told = operation.told(name);
            let row = AuditRow::now("refused", by.unwrap_or_default(), &told, error.code());
            let row = row.within(&projects);
            audit::operated(name, by, Some(error.code()), row.project.as_deref());
            self.people().note(row);
        }
        judged.map(|()| projects)
    }

    async fn judged(
        &self,
        reach: &Reach,
        right: Right,
        over: Over,
        projects: &mut Vec<String>,
    ) -> Result<(), WorkshopError> {
        let things = match over {
            Over::Workshop if reach.may_here(right) => return Ok(()),
            Over::Anywhere if reach.may_anywhere(right) => return Ok(()),
            Over::Workshop | Over::Anywhere => return Err(denied(right)),
            Over::Project(project) => {
                projects.push(self.project_for(project.as_deref(), right)?);
                return Ok(());
            }
            Over::Things(things) => things,
            Over::Wherever(thing) => {
                let homes = self.people().homes(&thing).await?;
                let is_open = |it: &String| reach.may(right, it);
                // What else rests on it, in other projects, would be taken from those who know of it.
                if homes.iter().any(is_open) && !homes.iter().all(is_open) {
                    projects.extend(homes);
                    return Err(denied(right));
                }
                vec![thing]
            }
        };
        if things.is_empty() && !reach.may_anywhere(right) {
            return Err(denied(right));
        }
        for thing in things {
            match self.people().judge(reach, right, &thing).await? {
                Judged::Allowed(found) => projects.extend(found),
                Judged::Denied(found) => {
                    projects.extend(found);
                    return Err(denied(right));
                }
                Judged::Hidden => return Err(hidden()),
            }
        }
        projects.sort_unstable();
        projects.dedup();
        Ok(())
    }

    /// That whoever asks may do something with a thing.
    ///
    /// # Errors
    /// `right-denied`, `not-found`; the store's.
    pub(super) async fn allows(&self, right: Right, thing: Thing) -> Result<(), WorkshopError> {
        match reach::now() {
            None => Ok(()),
            Some(reach) => {
                let over = Over::Things(vec![thing]);
                self.judged(&reach, right, over, &mut Vec::new()).await
            }
        }
    }

    /// The project that something is to be made in: the one that is named, else the key's own or the common
    /// one, if whoever asks may do that there.
    ///
    /// # Errors
    /// `project-unknown`, `right-denied`.
    pub(crate) fn project_for(
        &self,
        named: Option<&str>,
        right: Right,
    ) -> Result<String, WorkshopError> {
        let project = named.map_or_else(reach::home, str::to_owned);
        let reach = reach::now();
        let sees = |it: &Reach| it.may(Right::Look, &project);
        if self.people().project(&project).is_none() || !reach.as_ref().is_none_or(sees) {
            // Without a name it is the right that is lacking.
            return Err(named.map_or(denied(right), unknown));
        }
        match reach.is_none_or(|it| it.may(right, &project)) {
            true => Ok(project),
            false => Err(denied(right)),
        }
    }
}

/// No project has this id, as far as whoever asks may know.
pub(super) fn unknown(id: &str) -> WorkshopError {
    let shown: String = id.chars().take(100).collect();
    WorkshopError::new(
        "project-unknown",
        format!("this workshop has no project {shown}"),
        "list them with `lathe project list`",
    )
}

fn denied(right: Right) -> WorkshopError {
    WorkshopError::new(
        "right-denied",
        format!(
            "your roles do not allow this: it asks for the right {}",
            right.name()
        ),
        "ask an administrator of the workshop for a role that has it",
    )
}

fn hidden() -> WorkshopError {
    WorkshopError::new(
        "not-found",
        "this workshop has nothing of this name that you may see",
        "list what there is, or ask an administrator of its project",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::OrderId;

    #[test]
    fn what_an_operation_names_is_what_it_is_judged_over() {
        let order = OrderId("o".to_owned());
        let pause = Operation::OrderPause { order };
        assert_eq!(pause.over(), one(Thing::Order("o".to_owned())));
        let add = Operation::PersonDisable {
            name: "anna".to_owned(),
        };
        assert_eq!(add.over(), Over::Workshop);
        assert_eq!(Operation::Tokens {}.over(), Over::Anywhere);
        let recipe = serde_json::json!({
            "do": "order-recipe", "pack": "p", "project": "ward", "recipe": "seed: 1",
        });
        let recipe: Operation = serde_json::from_value(recipe).unwrap();
        assert_eq!(recipe.over(), Over::Project(Some("ward".to_owned())));
        assert!(recipe.right() == Right::Tune && !recipe.changes());
        let leaf = Operation::Withdraw {
            what: Withdrawn::Agreement("a".to_owned()),
            reason: String::new(),
        };
        assert_eq!(leaf.over(), Over::Workshop);
    }
}
