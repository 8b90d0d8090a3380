//! `project-…`: projects are made and listed, people get a part in them. The commands, the page and the API
//! do the same.

use std::sync::Arc;

use serde_json::{Value, json};

use super::judge::unknown;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::project::is_id;
use crate::people::{
    COMMON, Member, PROJECT_NAME_CHARS_MAX, PROJECTS_MAX, PersonRole, Project, ProjectRequest,
    ProjectRow, Right, reach,
};
use crate::upstream;
use crate::workshop::Workshop;

fn refuse(text: String, next: &str) -> WorkshopError {
    WorkshopError::new("project-request", text, next)
}

/// Makes a project.
pub(super) async fn create(
    shop: &Workshop,
    request: ProjectRequest,
) -> Result<Value, WorkshopError> {
    let people = shop.people();
    let _alone = people.change_alone().await;
    let (id, name) = (request.id.trim(), request.name.trim());
    if !is_id(id) || id == COMMON {
        let shown: String = id.chars().take(100).collect();
        return Err(refuse(
            format!("cannot make a project of the id {shown:?}"),
            "use a small letter and up to 29 small letters, digits and hyphens",
        ));
    }
    let name = called(id, name)?;
    if people.project(id).is_some() {
        return Err(refuse(
            format!("cannot make the project {id}: there is one of this id"),
            "choose another id",
        ));
    }
    if people.projects().len() >= PROJECTS_MAX {
        return Err(refuse(
            format!("cannot make the project {id}: there are {PROJECTS_MAX}, the limit"),
            "use one that is there",
        ));
    }
    let row = ProjectRow {
        id: id.to_owned(),
        name: name.to_owned(),
        created_ms: now_ms(),
    };
    people.put_project(row).await?;
    one(shop, id).await
}

/// What people call a project.
fn called<'a>(id: &'a str, name: &'a str) -> Result<&'a str, WorkshopError> {
    let name = if name.trim().is_empty() { id } else { name };
    let name = name.trim();
    if name.chars().count() > PROJECT_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(refuse(
            format!("cannot call the project {id} so: the name is too long or unprintable"),
            "use at most 100 characters",
        ));
    }
    Ok(name)
}

/// A project that can be changed: not the common one, which every workshop has.
fn changeable(shop: &Workshop, id: &str) -> Result<Arc<Project>, WorkshopError> {
    if id == COMMON {
        return Err(refuse(
            "the common project is neither renamed nor deleted: what names no other belongs to it"
                .to_owned(),
            "choose another project",
        ));
    }
    shop.people().project(id).ok_or_else(|| unknown(id))
}

/// Calls a project something else; its id stays, since names begin with it.
pub(super) async fn rename(shop: &Workshop, id: &str, name: &str) -> Result<Value, WorkshopError> {
    let people = shop.people();
    let _alone = people.change_alone().await;
    let found = changeable(shop, id)?;
    let row = ProjectRow {
        name: called(id, name)?.to_owned(),
        ..found.row.clone()
    };
    people.put_project(row).await?;
    one(shop, id).await
}

/// Deletes a project to which nothing belongs, with everybody's part in it.
pub(super) async fn delete(shop: &Workshop, id: &str) -> Result<Value, WorkshopError> {
    let people = shop.people();
    let _alone = people.change_alone().await;
    changeable(shop, id)?;
    let held = holds(shop, id).await?;
    if !held.is_empty() {
        let told = held.iter().map(|(what, count)| format!("{what} ({count})"));
        let told = told.collect::<Vec<_>>().join(", ");
        return Err(WorkshopError::new(
            "project-holds",
            format!("cannot delete the project {id}, which still has {told}"),
            "revoke its keys and forget its files; a project with orders, data or models stays",
        ));
    }
    people.remove_project(id).await?;
    Ok(json!({ "deleted": id }))
}

/// What a project still holds, each kind by its word, with how many.
async fn holds(shop: &Workshop, id: &str) -> Result<Vec<(&'static str, u64)>, WorkshopError> {
    let mut held = shop.store().project_holds(id).await?;
    let own = format!("{id}.");
    let upstreams = upstream::all(shop).await?;
    let upstreams = upstreams.iter().filter(|(it, _)| it.name.starts_with(&own));
    let packs = std::fs::read_dir(shop.home().packs()).into_iter().flatten();
    let packs = packs
        .flatten()
        .filter(|it| it.file_name().to_string_lossy().starts_with(&own));
    let more = [
        ("files that were brought", shop.brought_into(id).await?),
        ("upstreams", upstreams.count() as u64),
        ("packs", packs.count() as u64),
    ];
    held.extend(more.into_iter().filter(|(_, count)| *count > 0));
    Ok(held)
}

/// The projects that whoever asks may see, by id.
pub(super) fn list(shop: &Workshop) -> Value {
    let shown = reach::shown(Right::Look);
    let all = shop.people().projects();
    let seen = all.iter().filter(|it| shown.has(&it.row.id));
    json!({ "projects": seen.map(|it| told(it)).collect::<Vec<Value>>() })
}

/// One project, with how much belongs to it.
pub(super) async fn one(shop: &Workshop, id: &str) -> Result<Value, WorkshopError> {
    let project = shop.people().project(id).ok_or_else(|| unknown(id))?;
    let [orders, datasets, models, deployments] = shop.store().project_counts(id).await?;
    let mut told = told(&project);
    told["holds"] = json!({
        "orders": orders,
        "datasets": datasets,
        "models": models,
        "deployments": deployments,
    });
    Ok(told)
}

/// Gives somebody a part in a project, another one than before.
pub(super) async fn member(
    shop: &Workshop,
    project: &str,
    person: &str,
    (roles, denied): (Vec<PersonRole>, Vec<Right>),
) -> Result<Value, WorkshopError> {
    let people = shop.people();
    let _alone = people.change_alone().await;
    let found = people.project(project).ok_or_else(|| unknown(project))?;
    super::people::find(shop, person)?;
    let (roles, denied) = super::people::sorted(roles, denied);
    if roles.is_empty() && denied.is_empty() {
        return Err(refuse(
            format!("cannot give {person} a part in {project} without a role or a denial"),
            "name at least one, or take their part away",
        ));
    }
    let before = found.members.get(person).cloned().unwrap_or_default();
    let member = Member {
        roles,
        denied,
        granted: before.granted,
    };
    people.put_member(project, person, Some(member)).await?;
    one(shop, project).await
}

/// Takes somebody's part in a project away.
pub(super) async fn leave(
    shop: &Workshop,
    project: &str,
    person: &str,
) -> Result<Value, WorkshopError> {
    let people = shop.people();
    let _alone = people.change_alone().await;
    let found = people.project(project).ok_or_else(|| unknown(project))?;
    let Some(member) = found.members.get(person) else {
        let shown: String = person.chars().take(100).collect();
        return Err(refuse(
            format!("{shown} has no part in the project {project}"),
            "see its members with `lathe project show`",
        ));
    };
    let granted = member.granted.clone();
    if member.roles.is_empty() && member.denied.is_empty() {
        return Err(WorkshopError::new(
            "person-outside",
            format!("{person} has their part in {project} by their groups where they sign in"),
            "take them out of the group there, or deny them rights here",
        ));
    }
    // What came by groups goes with them.
    let rest = (!granted.is_empty()).then(|| Member {
        granted,
        ..Member::default()
    });
    people.put_member(project, person, rest).await?;
    one(shop, project).await
}

fn told(project: &Project) -> Value {
    let members = project.members.iter().map(|(name, member)| {
        json!({
            "person": name,
            "roles": member.roles,
            "denied": member.denied,
            "granted": member.granted,
        })
    });
    json!({
        "id": project.row.id,
        "name": project.row.name,
        "created_ms": project.row.created_ms,
        "members": members.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use crate::people::{PersonRequest, Thing};
    use crate::store::Change;
    use crate::testing::{self, shop};

    async fn refused(shop: &Workshop, operation: Operation) -> &'static str {
        shop.operate(operation).await.unwrap_err().code()
    }

    fn create(id: &str) -> Operation {
        Operation::ProjectCreate(ProjectRequest {
            id: id.to_owned(),
            name: "Ward 7".to_owned(),
        })
    }

    fn member(person: &str, roles: &[PersonRole]) -> Operation {
        Operation::ProjectMember {
            project: "ward".to_owned(),
            person: person.to_owned(),
            roles: roles.to_vec(),
            denied: Vec::new(),
        }
    }

    async fn add(shop: &Workshop, name: &str, roles: &[PersonRole]) {
        let request = PersonRequest {
            name: name.to_owned(),
            display: String::new(),
            roles: roles.to_vec(),
            denied: Vec::new(),
            password: None,
        };
        shop.operate(Operation::PersonAdd(request)).await.unwrap();
    }

    #[tokio::test]
    async fn a_project_is_made_once_and_has_members_that_are_people() {
        let (_folder, shop) = shop().await;
        for id in ["", "common", "Ward", "a.b", "../a"] {
            assert_eq!(refused(&shop, create(id)).await, "project-request", "{id}");
        }
        let made = shop.operate(create("ward")).await.unwrap();
        assert_eq!(made["name"], "Ward 7");
        assert_eq!(refused(&shop, create("ward")).await, "project-request");
        assert_eq!(
            refused(&shop, member("anna", &[PersonRole::Tuner])).await,
            "person-unknown"
        );
        add(&shop, "root", &[PersonRole::Administrator]).await;
        add(&shop, "anna", &[]).await;
        assert_eq!(refused(&shop, member("anna", &[])).await, "project-request");
        let told = shop.operate(member("anna", &[PersonRole::Tuner])).await;
        assert_eq!(told.unwrap()["members"][0]["roles"], json!(["tuner"]));
        let leave = || Operation::ProjectLeave {
            project: "ward".to_owned(),
            person: "anna".to_owned(),
        };
        let told = shop.operate(leave()).await.unwrap();
        assert_eq!(told["members"], json!([]));
        assert_eq!(refused(&shop, leave()).await, "project-request");
        let listed = shop.operate(Operation::Projects {}).await.unwrap();
        assert_eq!(listed["projects"].as_array().map(Vec::len), Some(2));
        shop.stop().await;
    }

    fn rename(id: &str, name: &str) -> Operation {
        Operation::ProjectRename {
            id: id.to_owned(),
            name: name.to_owned(),
        }
    }

    fn delete(id: &str) -> Operation {
        Operation::ProjectDelete { id: id.to_owned() }
    }

    #[tokio::test]
    async fn a_project_is_called_otherwise_and_keeps_id_and_members() {
        let (_folder, shop) = shop().await;
        shop.operate(create("ward")).await.unwrap();
        add(&shop, "root", &[PersonRole::Administrator]).await;
        add(&shop, "anna", &[]).await;
        let part = member("anna", &[PersonRole::Tuner]);
        shop.operate(part).await.unwrap();
        let told = shop.operate(rename("ward", " Ward 8 ")).await.unwrap();
        assert_eq!(
            (&told["id"], &told["name"]),
            (&json!("ward"), &json!("Ward 8"))
        );
        assert_eq!(told["members"][0]["person"], "anna");
        let long = "x".repeat(PROJECT_NAME_CHARS_MAX + 1);
        for (id, name, code) in [
            ("ward", &long[..], "project-request"),
            ("ward", "a\nb", "project-request"),
            (COMMON, "ours", "project-request"),
            ("none", "x", "project-unknown"),
        ] {
            assert_eq!(refused(&shop, rename(id, name)).await, code, "{id} {name}");
        }
        let told = shop.operate(rename("ward", "")).await.unwrap();
        assert_eq!(told["name"], "ward");
        // It is so in the store, too.
        let rows = shop.store().projects().await.unwrap();
        assert_eq!(rows[1].name, "ward");
        shop.stop().await;
    }

    #[tokio::test]
    async fn a_project_is_deleted_once_nothing_belongs_to_it() {
        let (_folder, shop) = shop().await;
        for id in ["ward", "bank", "ward-8"] {
            shop.operate(create(id)).await.unwrap();
        }
        add(&shop, "root", &[PersonRole::Administrator]).await;
        add(&shop, "anna", &[]).await;
        let part = member("anna", &[PersonRole::Administrator]);
        shop.operate(part).await.unwrap();
        assert_eq!(refused(&shop, delete(COMMON)).await, "project-request");
        assert_eq!(refused(&shop, delete("none")).await, "project-unknown");
        // Whoever administers the project alone deletes it not.
        let anna = shop.people().find("anna").unwrap();
        let anna = reach::Reach::Person(anna, shop.people().clone());
        let asked = reach::within(Some(anna), shop.operate(delete("ward")));
        assert_eq!(asked.await.unwrap_err().code(), "right-denied");
        // Names of another project, whose id begins so, are not in the way.
        testing::deploy(&shop, "ward-8.care").await;
        let belongs = Change::Belongs {
            thing: "file".to_owned(),
            project: "bank".to_owned(),
        };
        shop.store().apply(&[belongs]).await.unwrap();
        std::fs::create_dir_all(shop.home().packs().join("bank.care")).unwrap();
        let error = shop.operate(delete("bank")).await.unwrap_err();
        assert_eq!(error.code(), "project-holds");
        assert!(
            error.to_string().contains("things (1), packs (1)"),
            "{error}"
        );
        let error = shop.operate(delete("ward-8")).await.unwrap_err();
        assert!(error.to_string().contains("deployments (1)"), "{error}");
        shop.operate(delete("ward")).await.unwrap();
        assert!(shop.people().project("ward").is_none());
        assert!(shop.store().members().await.unwrap().is_empty());
        assert_eq!(shop.store().projects().await.unwrap().len(), 3);
        shop.stop().await;
    }

    #[tokio::test]
    async fn whoever_administers_a_project_changes_that_one() {
        let (_folder, shop) = shop().await;
        for id in ["ward", "bank"] {
            shop.operate(create(id)).await.unwrap();
        }
        add(&shop, "root", &[PersonRole::Administrator]).await;
        add(&shop, "anna", &[]).await;
        let administers = member("anna", &[PersonRole::Administrator]);
        shop.operate(administers).await.unwrap();
        let anna = shop.people().find("anna").unwrap();
        let reach = reach::Reach::Person(anna, shop.people().clone());
        let asks = async |operation| {
            let asked = shop.operate(operation);
            reach::within(Some(reach.clone()), asked).await
        };
        asks(member("root", &[PersonRole::Tuner])).await.unwrap();
        let other = Operation::ProjectMember {
            project: "bank".to_owned(),
            person: "anna".to_owned(),
            roles: vec![PersonRole::Tuner],
            denied: Vec::new(),
        };
        assert_eq!(asks(other).await.unwrap_err().code(), "not-found");
        let made = asks(create("mine")).await.unwrap_err();
        assert_eq!(made.code(), "right-denied");
        let listed = asks(Operation::Projects {}).await.unwrap();
        assert_eq!(listed["projects"].as_array().map(Vec::len), Some(1));
        let homes = shop
            .people()
            .homes(&Thing::Project("none".to_owned()))
            .await;
        assert!(homes.unwrap().is_empty());
        shop.stop().await;
    }
}
