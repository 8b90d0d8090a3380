//! Who was told apart outside becomes, or is again, a person here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{
    DISPLAY_CHARS_MAX, NAME_CHARS_MAX, PEOPLE_MAX, People, Person, PersonRole, PersonRow, Right,
    Shut,
};
use super::{Origin, Unmet};
use crate::clock::now_ms;

/// Somebody as a provider or a directory has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outsider {
    pub origin: Origin,
    /// The name they have there.
    pub name: String,
    /// What people call them; may be empty.
    pub display: String,
    /// What the file makes of their groups; sorted, none twice.
    pub roles: Vec<PersonRole>,
    /// The same in projects, by their ids.
    pub parts: BTreeMap<String, Vec<PersonRole>>,
}

impl Outsider {
    /// Whether their groups give them nothing here.
    fn is_stranger(&self) -> bool {
        self.roles.is_empty() && self.parts.is_empty()
    }
}

impl People {
    /// The person that this is, with the roles of this moment, in the workshop and in projects. Who has none is
    /// left without any here as well, and is logged out everywhere.
    pub(super) async fn admit(&self, mut outsider: Outsider) -> Result<Arc<Person>, Shut> {
        let _alone = self.change_alone().await;
        // What is said of a project that is not there gives nothing.
        outsider.parts.retain(|id, _| self.project(id).is_some());
        let all = self.all();
        let known = all
            .iter()
            .find(|it| it.row.origin.as_ref() == Some(&outsider.origin));
        let row = match known {
            Some(person) if person.is_disabled() => return Err(Shut::Unmet(Unmet::Out)),
            Some(person) => renewed(&person.row, &outsider),
            None => self.newcomer(&outsider, all.len())?,
        };
        let is_stranger = outsider.is_stranger();
        if is_stranger || known.is_none_or(|it| it.row != row) {
            self.put(row.clone(), is_stranger).await?;
        }
        self.grant(&row.name, &outsider.parts).await?;
        self.warn_if_nobody_lets_in();
        if is_stranger {
            return Err(Shut::Unmet(Unmet::NoRole));
        }
        self.find(&row.name).ok_or(Shut::Wrong)
    }

    /// Takes somebody in whom nobody told apart; for tests of pages and for samples alone.
    ///
    /// # Errors
    /// Why not.
    #[cfg(feature = "unproved")]
    pub async fn admit_unproved(
        &self,
        origin: Origin,
        (name, display): (&str, &str),
        roles: &[PersonRole],
    ) -> Result<Arc<Person>, Shut> {
        let (name, display) = (name.to_owned(), display.to_owned());
        let roles = roles.to_vec();
        self.admit(Outsider {
            origin,
            name,
            display,
            roles,
            parts: BTreeMap::new(),
        })
        .await
    }

    fn newcomer(&self, outsider: &Outsider, people: usize) -> Result<PersonRow, Unmet> {
        if outsider.is_stranger() {
            return Err(Unmet::NoRole);
        }
        let name = name_here(&outsider.name).ok_or(Unmet::Name)?;
        if self.find(&name).is_some() {
            return Err(Unmet::NameTaken);
        }
        if people >= PEOPLE_MAX {
            return Err(Unmet::Full);
        }
        let now_ms = now_ms();
        let row = PersonRow {
            display: name.clone(),
            name,
            origin: Some(outsider.origin.clone()),
            password: String::new(),
            roles: Vec::new(),
            denied: Vec::new(),
            created_ms: now_ms,
            password_ms: now_ms,
            disabled_ms: None,
        };
        Ok(renewed(&row, outsider))
    }

    /// Groups decide, and may leave nobody who lets people in but the home's own user.
    fn warn_if_nobody_lets_in(&self) {
        if !self.all().iter().any(|it| it.may(Right::People)) {
            tracing::warn!("nobody is left who may let people in; `lathe people role` gives it");
        }
    }
}

/// The row with the roles and the words of this login; what is denied stays.
fn renewed(row: &PersonRow, outsider: &Outsider) -> PersonRow {
    let display = display_here(&outsider.display);
    PersonRow {
        roles: outsider.roles.clone(),
        display: display.unwrap_or_else(|| row.display.clone()),
        ..row.clone()
    }
}

/// A name from outside as a name here: small letters, digits, `.`, `-` and `_`, anything else as `-`. None where
/// no letter or digit is left, or it is too long. It is a handle alone: two that become one are refused.
fn name_here(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    if name.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let plain = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '.' | '-' | '_' => letter,
        _ => '-',
    };
    let name: String = name.chars().map(plain).collect();
    name.bytes()
        .any(|byte| byte.is_ascii_alphanumeric())
        .then_some(name)
}

/// What people call them, if it can be shown.
fn display_here(display: &str) -> Option<String> {
    let printed = display.trim().chars().filter(|it| !it.is_control());
    let display: String = printed.take(DISPLAY_CHARS_MAX).collect();
    (!display.is_empty()).then_some(display)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Kind;
    use super::*;
    use crate::Operation;
    use crate::people::{Attempt, PasswordChange, PersonRequest, ProjectRequest, Secret};
    use crate::testing::shop;
    use crate::workshop::Workshop;

    const PASSWORD: &str = "correct horse battery";

    fn outsider(subject: &str, name: &str, roles: &[PersonRole]) -> Outsider {
        Outsider {
            origin: Origin {
                kind: Kind::Oidc,
                way: "plant".to_owned(),
                subject: subject.to_owned(),
            },
            name: name.to_owned(),
            display: "Anna Berg".to_owned(),
            roles: roles.to_vec(),
            parts: BTreeMap::new(),
        }
    }

    async fn with_root() -> (tempfile::TempDir, Workshop) {
        let (folder, shop) = shop().await;
        let root = PersonRequest {
            name: "root".to_owned(),
            display: String::new(),
            roles: vec![PersonRole::Administrator],
            denied: Vec::new(),
            password: Some(Secret(PASSWORD.to_owned())),
        };
        shop.operate(Operation::PersonAdd(root)).await.unwrap();
        (folder, shop)
    }

    fn unmet(shut: Result<Arc<Person>, Shut>) -> Unmet {
        match shut {
            Err(Shut::Unmet(unmet)) => unmet,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_same_subject_is_the_same_person_with_the_roles_of_this_login() {
        let (_folder, shop) = with_root().await;
        let people = shop.people();
        let first = outsider("1", "Anna", &[PersonRole::Tuner]);
        let anna = people.admit(first.clone()).await.unwrap();
        assert_eq!(
            (anna.row.name.as_str(), &anna.row.roles),
            ("anna", &vec![PersonRole::Tuner])
        );
        let deny = Operation::PersonRoles {
            name: "anna".to_owned(),
            roles: vec![PersonRole::Tuner],
            denied: vec![Right::Records],
        };
        shop.operate(deny).await.unwrap();
        // She is called otherwise there, and does something else.
        let again = Outsider {
            name: "anna.berg".to_owned(),
            display: "Anna Berg-Wang".to_owned(),
            roles: vec![PersonRole::Auditor],
            ..first.clone()
        };
        let anna = people.admit(again).await.unwrap();
        assert_eq!(anna.row.name, "anna");
        assert_eq!(anna.row.display, "Anna Berg-Wang");
        assert!(anna.may(Right::Audit) && !anna.may(Right::Tune));
        assert!(!anna.may(Right::Records), "what is denied stays denied");
        assert_eq!(people.all().len(), 2);
        shop.stop().await;
    }

    #[tokio::test]
    async fn groups_give_a_part_in_projects_and_take_it_again() {
        let (_folder, shop) = with_root().await;
        let people = shop.people();
        for id in ["ward", "bank"] {
            let request = ProjectRequest {
                id: id.to_owned(),
                name: String::new(),
            };
            let create = Operation::ProjectCreate(request);
            shop.operate(create).await.unwrap();
        }
        let with = |parts: &[(&str, PersonRole)]| Outsider {
            parts: parts
                .iter()
                .map(|(id, role)| ((*id).to_owned(), vec![*role]))
                .collect(),
            ..outsider("1", "anna", &[])
        };
        // A project that is not there gives nothing, not even the way in.
        let nowhere = people.admit(with(&[("none", PersonRole::Tuner)])).await;
        assert_eq!(unmet(nowhere), Unmet::NoRole);
        let both = [("ward", PersonRole::Tuner), ("bank", PersonRole::Approver)];
        let anna = people.admit(with(&both)).await.unwrap();
        assert!(anna.row.roles.is_empty());
        assert!(people.may(&anna, Right::Tune, "ward") && !people.may(&anna, Right::Tune, "bank"));
        assert!(people.may(&anna, Right::Approve, "bank"));
        // By hand more can be given there, and what is denied by hand stays denied.
        let part = |roles: &[PersonRole], denied: &[Right]| Operation::ProjectMember {
            project: "ward".to_owned(),
            person: "anna".to_owned(),
            roles: roles.to_vec(),
            denied: denied.to_vec(),
        };
        let told = shop
            .operate(part(&[PersonRole::Operator], &[Right::Ask]))
            .await;
        assert_eq!(told.unwrap()["members"][0]["granted"], json!(["tuner"]));
        let anna = people.admit(with(&both)).await.unwrap();
        let may = |right| people.may(&anna, right, "ward");
        assert!(may(Right::Tune) && may(Right::Operate) && !may(Right::Ask));
        // Out of the group: what came by it goes, what was given by hand stays.
        let id = people.enter(&anna, None, "", 1000).await.unwrap();
        let anna = people.admit(with(&both[1..])).await.unwrap();
        let may = |right| people.may(&anna, right, "ward");
        assert!(!may(Right::Tune) && may(Right::Operate));
        assert!(people.signed_at(&id, 1000).is_some());
        // What came by groups is not taken by hand; in no group any more, she is out.
        let leave = |project: &str| Operation::ProjectLeave {
            project: project.to_owned(),
            person: "anna".to_owned(),
        };
        let kept = shop.operate(leave("bank")).await.unwrap_err();
        assert_eq!(kept.code(), "person-outside");
        shop.operate(leave("ward")).await.unwrap();
        assert_eq!(unmet(people.admit(with(&[])).await), Unmet::NoRole);
        assert!(people.signed_at(&id, 1000).is_none());
        assert!(people.project("bank").unwrap().members.is_empty());
        assert!(shop.store().members().await.unwrap().is_empty());
        shop.stop().await;
    }

    #[tokio::test]
    async fn nobody_is_merged_and_nobody_comes_in_without_a_role() {
        let (_folder, shop) = with_root().await;
        let people = shop.people();
        let all = [PersonRole::Administrator, PersonRole::Operator];
        let root = people.admit(outsider("1", "ROOT", &all)).await;
        assert_eq!(unmet(root), Unmet::NameTaken);
        assert_eq!(people.find("root").unwrap().row.origin, None);
        let nobody = people.admit(outsider("2", "anna", &[])).await;
        assert_eq!(unmet(nobody), Unmet::NoRole);
        assert!(people.find("anna").is_none(), "nothing is kept of them");
        let unnamed = people.admit(outsider("3", "安娜", &all)).await;
        assert_eq!(unmet(unnamed), Unmet::Name);
        people.admit(outsider("2", "anna", &all)).await.unwrap();
        let other = people.admit(outsider("4", "Anna", &all)).await;
        assert_eq!(unmet(other), Unmet::NameTaken);
        // Another way may have the same subjects.
        let mut elsewhere = outsider("2", "anna", &all);
        elsewhere.origin.way = "other".to_owned();
        assert_eq!(unmet(people.admit(elsewhere).await), Unmet::NameTaken);
        shop.stop().await;
    }

    #[tokio::test]
    async fn who_was_shut_out_or_lost_their_roles_is_out_everywhere() {
        let (_folder, shop) = with_root().await;
        let people = shop.people();
        let anna = outsider("1", "anna", &[PersonRole::Tuner]);
        let person = people.admit(anna.clone()).await.unwrap();
        let id = people.enter(&person, None, "", 1000).await.unwrap();
        assert!(people.signed_at(&id, 1000).is_some());
        let without = Outsider {
            roles: Vec::new(),
            ..anna.clone()
        };
        assert_eq!(unmet(people.admit(without).await), Unmet::NoRole);
        assert!(people.signed_at(&id, 1000).is_none());
        assert!(people.find("anna").unwrap().row.roles.is_empty());
        let out = Operation::PersonDisable {
            name: "anna".to_owned(),
        };
        shop.operate(out).await.unwrap();
        assert_eq!(unmet(people.admit(anna).await), Unmet::Out);
        shop.stop().await;
    }

    #[tokio::test]
    async fn they_have_no_password_here_and_get_none() {
        let (_folder, shop) = with_root().await;
        let people = shop.people();
        let anna = outsider("1", "anna", &[PersonRole::Tuner]);
        people.admit(anna).await.unwrap();
        for password in ["", PASSWORD] {
            let attempt = Attempt {
                name: "anna".to_owned(),
                password: Secret(password.to_owned()),
                address: None,
                agent: String::new(),
                before: None,
            };
            assert!(matches!(people.log_in(attempt).await, Err(Shut::Wrong)));
        }
        let name = || "anna".to_owned();
        let refused = [
            Operation::PersonPassword {
                name: name(),
                password: None,
            },
            Operation::PersonRoles {
                name: name(),
                roles: vec![PersonRole::Administrator],
                denied: Vec::new(),
            },
        ];
        for operation in refused {
            let error = shop.operate(operation).await.unwrap_err();
            assert_eq!(error.code(), "person-outside");
        }
        let change = PasswordChange {
            old: Secret(String::new()),
            new: Secret(PASSWORD.to_owned()),
        };
        let changed = people.change_own_password("anna", change, "").await;
        assert_eq!(changed.unwrap_err().code(), "person-outside");
        shop.stop().await;
    }

    #[tokio::test]
    async fn whence_they_are_is_kept_and_told() {
        let (folder, shop) = with_root().await;
        let anna = outsider("1", "anna", &[PersonRole::Tuner]);
        shop.people().admit(anna.clone()).await.unwrap();
        let listed = shop.operate(Operation::People {}).await.unwrap();
        assert_eq!(listed["people"][0]["origin"]["way"], "plant");
        assert_eq!(listed["people"][0]["origin"]["subject"], "1");
        assert!(listed["people"][1]["origin"].is_null());
        shop.stop().await;
        let path = folder.path().join("home").join("store.sqlite");
        let store = crate::store::Store::open(&path).await.unwrap();
        let people = People::load(&store).await.unwrap();
        assert_eq!(people.find("anna").unwrap().row.origin, Some(anna.origin));
        store.close().await;
    }

    #[test]
    fn names_from_outside_are_plain_here() {
        let long = "x".repeat(NAME_CHARS_MAX + 1);
        for (given, name) in [
            ("anna", Some("anna")),
            (" Anna.Berg@Example.org ", Some("anna.berg-example.org")),
            ("../a", Some("..-a")),
            ("<b>", Some("-b-")),
            ("安娜", None),
            ("", None),
            ("..", None),
            (&long, None),
        ] {
            assert_eq!(name_here(given).as_deref(), name, "{given}");
        }
        assert_eq!(display_here(" An\u{7}na "), Some("Anna".to_owned()));
        assert_eq!(display_here("\n"), None);
    }
}
