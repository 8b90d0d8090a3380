//! Projects: what belongs together, and who does what in each.
//!
//! A person's roles in the workshop are for every project, those in a project for what belongs to it; a denial
//! wins wherever it stands ([`Right::is_allowed`]). What names no project belongs to the common one, which is
//! there always and has members like any other. What a project's orders make belongs to it, and its models
//! answer under names that begin with its id.
//!
//! Not here: which thing an address or an operation names (the web, and `ops`), and how far whoever asks
//! reaches ([`super::reach`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{People, PeopleChange, Person, PersonRole, Right, read, write};
use crate::error::WorkshopError;

/// The project of what names no other.
pub const COMMON: &str = "common";
/// The most projects of a workshop.
pub const PROJECTS_MAX: usize = 200;
/// The longest id of a project.
pub const PROJECT_ID_CHARS_MAX: usize = 30;
/// The longest name of a project.
pub const PROJECT_NAME_CHARS_MAX: usize = 100;

/// A project as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// Its id: small letters, digits and hyphens.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

/// What somebody does in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// What they do; sorted, none twice.
    pub roles: Vec<PersonRole>,
    /// Rights that they never have there; sorted, none twice.
    pub denied: Vec<Right>,
    /// What else they do there by their groups where they sign in, for as long as they are in these; sorted, none
    /// twice.
    pub granted: Vec<PersonRole>,
}

impl Member {
    /// What they do there, whoever gave it; sorted, none twice.
    pub fn all_roles(&self) -> Vec<PersonRole> {
        let mut roles = [&self.roles[..], &self.granted].concat();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// A member as the store has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The project.
    pub project: String,
    /// What the person logs in with.
    pub person: String,
    /// What they do there.
    pub member: Member,
}

/// A project of this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// As the store has it.
    pub row: ProjectRow,
    /// Who has a part in it, by the name they log in with.
    pub members: BTreeMap<String, Member>,
}

/// Of which projects something is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Of all.
    All,
    /// Of these alone; of none where it is empty.
    Only(Vec<String>),
}

impl Shown {
    /// The projects as JSON, which the store looks a thing's project up in; none for all.
    pub(crate) fn list(&self) -> Option<String> {
        match self {
            Shown::All => None,
            Shown::Only(projects) => Some(serde_json::json!(projects).to_string()),
        }
    }

    /// Whether what belongs to `project` is shown.
    pub fn has(&self, project: &str) -> bool {
        match self {
            Shown::All => true,
            Shown::Only(projects) => projects.iter().any(|it| it == project),
        }
    }
}

/// Whether something can be a project's id, with which names of models and folders of packs begin.
pub(crate) fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = id.starts_with(|c: char| c.is_ascii_lowercase());
    begins && id.len() <= PROJECT_ID_CHARS_MAX && id.chars().all(plain)
}

/// What something of a project is called where names of all projects stand beside each other: models, packs.
pub(crate) fn name_in(project: &str, name: &str) -> String {
    match project {
        COMMON => name.to_owned(),
        project => format!("{project}.{name}"),
    }
}

/// The name that the model of an order answers under: one of its project, so that no project takes another's; a
/// demonstration never takes the real one's.
pub fn answers_as(project: &str, pack: &str, demonstration: bool) -> String {
    let name = name_in(project, pack);
    match demonstration {
        true => format!("{name}-demonstration"),
        false => name,
    }
}

/// The project that a name begins with, where one has that id. Without a dot, and before one that stands in a
/// job's own name, there is none: names of packs have no dots, ids no colons.
fn begins_with(name: &str) -> Option<&str> {
    name.split_once('.').map(|(project, _)| project)
}

impl People {
    /// All projects, by id; the common one among them.
    pub fn projects(&self) -> Vec<Arc<Project>> {
        read(&self.inner.projects).values().cloned().collect()
    }

    /// The project of this id.
    pub fn project(&self, id: &str) -> Option<Arc<Project>> {
        read(&self.inner.projects).get(id).cloned()
    }

    /// The project of a name under which a model answers, or under which a pack lies.
    pub fn project_of_name(&self, name: &str) -> String {
        let known = read(&self.inner.projects);
        let found = begins_with(name).filter(|project| known.contains_key(*project));
        found.unwrap_or(COMMON).to_owned()
    }

    /// Whether somebody may do something with what belongs to `project`.
    pub fn may(&self, person: &Person, right: Right, project: &str) -> bool {
        let all = read(&self.inner.projects);
        let member = all.get(project).and_then(|it| member(it, person));
        judged(person, right, member)
    }

    /// Whether there is a project in which somebody may do something.
    pub fn may_anywhere(&self, person: &Person, right: Right) -> bool {
        let all = read(&self.inner.projects);
        all.values()
            .any(|it| judged(person, right, member(it, person)))
    }

    /// In which projects somebody may do something.
    pub fn shown_to(&self, person: &Person, right: Right) -> Shown {
        let all = read(&self.inner.projects);
        let allowed = |it: &&Arc<Project>| judged(person, right, member(it, person));
        let found: Vec<String> = all
            .values()
            .filter(allowed)
            .map(|it| it.row.id.clone())
            .collect();
        match found.len() == all.len() && person.may(right) {
            true => Shown::All,
            false => Shown::Only(found),
        }
    }

    /// The projects in which somebody has a part of their own, by id, with what they do there; not those that they
    /// may not even see, by a denial.
    pub fn parts_of(&self, person: &Person) -> Vec<(Arc<Project>, Member)> {
        let all = read(&self.inner.projects);
        let part = |it: &Arc<Project>| {
            let member = member(it, person)?;
            let sees = judged(person, Right::Look, Some(member));
            sees.then(|| (it.clone(), member.clone()))
        };
        all.values().filter_map(part).collect()
    }

    /// Writes a project as it is now.
    pub(crate) async fn put_project(&self, row: ProjectRow) -> Result<(), WorkshopError> {
        self.apply(vec![PeopleChange::ProjectIs(row.clone())])
            .await?;
        let mut all = write(&self.inner.projects);
        let members = all.get(&row.id).map(|it| it.members.clone());
        let project = Project {
            members: members.unwrap_or_default(),
            row,
        };
        all.insert(project.row.id.clone(), Arc::new(project));
        Ok(())
    }

    /// Gives somebody in each project what their groups say, and takes what these say no more; what was given and
    /// denied by hand stays.
    #[cfg(any(feature = "oidc", feature = "ldap", feature = "unproved", test))]
    pub(crate) async fn grant(
        &self,
        person: &str,
        parts: &BTreeMap<String, Vec<PersonRole>>,
    ) -> Result<(), WorkshopError> {
        for project in self.projects() {
            let id = &project.row.id;
            let before = project.members.get(person).cloned().unwrap_or_default();
            let granted = parts.get(id).cloned().unwrap_or_default();
            if before.granted != granted {
                let member = Member { granted, ..before };
                let member = Some(member).filter(|it| *it != Member::default());
                self.put_member(id, person, member).await?;
            }
        }
        Ok(())
    }

    /// Deletes a project to which no order and nothing that orders make belongs, and takes everybody's part in it
    /// away.
    pub(crate) async fn remove_project(&self, id: &str) -> Result<(), WorkshopError> {
        self.apply(vec![PeopleChange::ProjectGone(id.to_owned())])
            .await?;
        write(&self.inner.projects).remove(id);
        Ok(())
    }

    /// Writes what somebody does in a project; nothing any more where `member` is none.
    pub(crate) async fn put_member(
        &self,
        project: &str,
        person: &str,
        member: Option<Member>,
    ) -> Result<(), WorkshopError> {
        self.apply(vec![match &member {
            Some(member) => PeopleChange::MemberIs(MemberRow {
                project: project.to_owned(),
                person: person.to_owned(),
                member: member.clone(),
            }),
            None => PeopleChange::MemberLeft {
                project: project.to_owned(),
                person: person.to_owned(),
            },
        }])
        .await?;
        let mut all = write(&self.inner.projects);
        if let Some(found) = all.get(project) {
            let mut changed = Project::clone(found);
            match member {
                Some(member) => changed.members.insert(person.to_owned(), member),
                None => changed.members.remove(person),
            };
            all.insert(project.to_owned(), Arc::new(changed));
        }
        Ok(())
    }
}

fn member<'a>(project: &'a Project, person: &Person) -> Option<&'a Member> {
    project.members.get(&person.row.name)
}

/// Whether somebody may, who has this part in the project of what is asked for.
fn judged(person: &Person, right: Right, member: Option<&Member>) -> bool {
    let row = &person.row;
    let roles = member.map(Member::all_roles);
    let within = member.map(|it| (roles.as_deref().unwrap_or_default(), &it.denied[..]));
    !person.is_disabled() && right.is_allowed((&row.roles, &row.denied), within)
}

/// The projects of these rows, with their members.
pub(super) fn loaded(
    rows: Vec<ProjectRow>,
    members: Vec<MemberRow>,
) -> BTreeMap<String, Arc<Project>> {
    let empty = |row: ProjectRow| (row.id.clone(), (row, BTreeMap::new()));
    let mut all: BTreeMap<String, (ProjectRow, BTreeMap<String, Member>)> =
        rows.into_iter().map(empty).collect();
    for row in members {
        if let Some((_, members)) = all.get_mut(&row.project) {
            members.insert(row.person, row.member);
        }
    }
    let whole = |(id, (row, members))| (id, Arc::new(Project { row, members }));
    all.into_iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_can_begin_a_name_and_a_folder() {
        for id in ["ward", "ward-7", "a"] {
            assert!(is_id(id), "{id}");
        }
        let long = "x".repeat(PROJECT_ID_CHARS_MAX + 1);
        for id in ["", "Ward", "7", "-a", "a.b", "a/b", "a:b", "病房", &long] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn names_of_a_project_begin_with_its_id() {
        assert_eq!(name_in(COMMON, "care"), "care");
        assert_eq!(name_in("ward", "care"), "ward.care");
        assert_eq!(begins_with("ward.care"), Some("ward"));
        assert_eq!(begins_with("care"), None);
        // A job's name has dots of its own; what stands before the first can be no id.
        let job = begins_with("ft:qwen2.5:shop:x").unwrap_or_default();
        assert!(!is_id(job));
    }

    #[test]
    fn what_is_shown_of_some_is_not_shown_of_others() {
        let some = Shown::Only(vec!["ward".to_owned()]);
        assert!(some.has("ward") && !some.has(COMMON) && Shown::All.has(COMMON));
        assert_eq!(some.list().as_deref(), Some(r#"["ward"]"#));
        assert_eq!(Shown::Only(Vec::new()).list().as_deref(), Some("[]"));
        assert_eq!(Shown::All.list(), None);
    }
}
