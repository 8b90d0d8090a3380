//! `project-…`: projects are made and listed, people get a part in them. The commands, the page and the API
//! do the same.

use serde_json::{Value, json};

use super::judge::unknown;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::project::is_id;
use crate::people::{
    COMMON, Member, PROJECT_NAME_CHARS_MAX, PROJECTS_MAX, PersonRole, Project, ProjectRequest,
    ProjectRow, Right, reach,
};
use crate::workshop::Workshop;

fn refuse(text: String, next: &str) -> WorkshopError {
    WorkshopError::new("project-request", text, next)
}

/// Makes a project, or calls one something else.
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
    let name = if name.is_empty() { id } else { name };
    if name.chars().count() > PROJECT_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(refuse(
            format!("cannot make the project {id}: its name is too long or unprintable"),
            "use at most 100 characters",
        ));
    }
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
    people.project(project).ok_or_else(|| unknown(project))?;
    super::people::find(shop, person)?;
    let (roles, denied) = super::people::sorted(roles, denied);
    if roles.is_empty() && denied.is_empty() {
        return Err(refuse(
            format!("cannot give {person} a part in {project} without a role or a denial"),
            "name at least one, or take their part away",
        ));
    }
    let member = Member { roles, denied };
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
    if !found.members.contains_key(person) {
        let shown: String = person.chars().take(100).collect();
        return Err(refuse(
            format!("{shown} has no part in the project {project}"),
            "see its members with `lathe project show`",
        ));
    }
    people.put_member(project, person, None).await?;
    one(shop, project).await
}

fn told(project: &Project) -> Value {
    let members = project.members.iter().map(
        |(name, member)| json!({ "person": name, "roles": member.roles, "denied": member.denied }),
    );
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
    use crate::testing::shop;

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
