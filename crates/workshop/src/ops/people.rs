//! `person-…`: people are let in, given roles, shut out. The commands, the page and the API do the same.
//!
//! The first person is an administrator, and the last one who can come in stays one: else nobody could let
//! anybody in but the home's own user.

use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::random_bytes;
use crate::people::{
    self, DISPLAY_CHARS_MAX, NAME_CHARS_MAX, PEOPLE_MAX, Person, PersonRequest, PersonRole,
    PersonRow, Right, Secret,
};
use crate::workshop::Workshop;

/// Letters of passwords that are made: none that looks like another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";
/// What the first account changes for everybody.
const FROM_NOW_ON: &str =
    "everybody signs in, on pages and in the API: this first account is an administrator's";
/// Letters of a password that is made: 100 bits.
const MADE_CHARS: usize = 20;

fn refuse(text: String, next: &str) -> WorkshopError {
    WorkshopError::new("person-request", text, next)
}

/// Lets somebody in. A password that is made stands in the answer alone.
pub(super) async fn add(shop: &Workshop, request: PersonRequest) -> Result<Value, WorkshopError> {
    let all = shop.people();
    let _alone = all.change_alone().await;
    let name = request.name.trim().to_owned();
    check_name(&name)?;
    let display = checked_display(&request.display, &name)?;
    if all.find(&name).is_some() {
        let text = format!("cannot let {name} in: there is somebody of this name");
        return Err(refuse(text, "choose another name, or change their roles"));
    }
    if all.all().len() >= PEOPLE_MAX {
        let text =
            format!("cannot let {name} in: this workshop has {PEOPLE_MAX} people, its limit");
        return Err(refuse(text, "change who somebody is instead"));
    }
    let (roles, denied) = sorted(request.roles, request.denied);
    let runs = Right::People.is_held(&roles, &denied);
    let is_first = all.is_empty();
    if is_first && !runs {
        let text = format!("cannot let {name} in: the first person has to be an administrator");
        return Err(refuse(text, "give the role administrator, too"));
    }
    let (password, made) = given_or_made(request.password, &name)?;
    let hash = all.compute(move || people::hashed(&password)).await??;
    let now_ms = now_ms();
    let row = PersonRow {
        name,
        display,
        origin: None,
        password: hash,
        roles,
        denied,
        created_ms: now_ms,
        password_ms: now_ms,
        disabled_ms: None,
    };
    all.put(row.clone(), false).await?;
    let mut told = told(&Person { row }, 0);
    if is_first {
        told["from_now_on"] = json!(FROM_NOW_ON);
    }
    Ok(with_password(told, made))
}

/// All people, by name.
pub(super) fn list(shop: &Workshop) -> Value {
    let all = shop.people();
    let people = all.all();
    let told = people
        .iter()
        .map(|it| told(it, all.sessions_of(&it.row.name).len()));
    json!({ "people": told.collect::<Vec<Value>>() })
}

/// Gives somebody other roles, and denies them other rights.
pub(super) async fn roles(
    shop: &Workshop,
    name: &str,
    roles: Vec<PersonRole>,
    denied: Vec<Right>,
) -> Result<Value, WorkshopError> {
    let _alone = shop.people().change_alone().await;
    let person = find(shop, name)?;
    let (roles, denied) = sorted(roles, denied);
    if let Some(origin) = &person.row.origin
        && roles != person.row.roles
    {
        return Err(WorkshopError::new(
            "person-outside",
            format!(
                "cannot give {name} other roles: they come from {}, at each login",
                origin.way
            ),
            "change their groups there, or deny a right here",
        ));
    }
    let row = PersonRow {
        roles,
        denied,
        ..person.row.clone()
    };
    keep(shop, row, false).await
}

/// Shuts somebody out, everywhere they are logged in, or lets them in again.
pub(super) async fn disable(
    shop: &Workshop,
    name: &str,
    is_out: bool,
) -> Result<Value, WorkshopError> {
    let _alone = shop.people().change_alone().await;
    let person = find(shop, name)?;
    let row = PersonRow {
        disabled_ms: is_out.then(|| person.row.disabled_ms.unwrap_or_else(now_ms)),
        ..person.row.clone()
    };
    keep(shop, row, is_out).await
}

/// Sets somebody's password, and logs them out everywhere. One that is made stands in the answer alone.
pub(super) async fn password(
    shop: &Workshop,
    name: &str,
    password: Option<Secret>,
) -> Result<Value, WorkshopError> {
    let _alone = shop.people().change_alone().await;
    let person = find(shop, name)?;
    person.has_password()?;
    let (password, made) = given_or_made(password, name)?;
    let hash = shop.people().compute(move || people::hashed(&password));
    let row = PersonRow {
        password: hash.await??,
        password_ms: now_ms(),
        ..person.row.clone()
    };
    Ok(with_password(keep(shop, row, true).await?, made))
}

/// Writes somebody as they are now, if the workshop is not left without an administrator.
async fn keep(
    shop: &Workshop,
    row: PersonRow,
    ends_sessions: bool,
) -> Result<Value, WorkshopError> {
    let all = shop.people();
    let others = all.all();
    let mut others = others.iter().filter(|it| it.row.name != row.name);
    let person = Person { row: row.clone() };
    if !person.may(Right::People) && !others.any(|it| it.may(Right::People)) {
        return Err(WorkshopError::new(
            "person-last",
            format!(
                "cannot take this from {}: nobody else could let people in",
                row.name
            ),
            "make somebody else an administrator first",
        ));
    }
    all.put(row, ends_sessions).await?;
    Ok(told(&person, all.sessions_of(&person.row.name).len()))
}

pub(super) fn find(shop: &Workshop, name: &str) -> Result<std::sync::Arc<Person>, WorkshopError> {
    shop.people().find(name).ok_or_else(|| {
        WorkshopError::new(
            "person-unknown",
            format!("this workshop has nobody of the name {name}"),
            "list them with `lathe people list`",
        )
    })
}

fn check_name(name: &str) -> Result<(), WorkshopError> {
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-_".contains(letter)
    };
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(refuse(
        "cannot let somebody in under this name".to_owned(),
        "use 1 to 64 small letters, digits, `.`, `-` and `_`",
    ))
}

fn checked_display(display: &str, name: &str) -> Result<String, WorkshopError> {
    let display = display.trim();
    if display.is_empty() {
        return Ok(name.to_owned());
    }
    if display.chars().count() > DISPLAY_CHARS_MAX || display.chars().any(char::is_control) {
        return Err(refuse(
            format!("cannot let {name} in: what people call them is too long or unprintable"),
            "use at most 100 characters",
        ));
    }
    Ok(display.to_owned())
}

pub(super) fn sorted(
    mut roles: Vec<PersonRole>,
    mut denied: Vec<Right>,
) -> (Vec<PersonRole>, Vec<Right>) {
    roles.sort_unstable();
    roles.dedup();
    denied.sort_unstable();
    denied.dedup();
    (roles, denied)
}

/// The password that was given, if it will do, or one that is made, which is told.
fn given_or_made(
    given: Option<Secret>,
    name: &str,
) -> Result<(Secret, Option<String>), WorkshopError> {
    match given {
        Some(given) => {
            people::acceptable(&given, name)?;
            Ok((given, None))
        }
        None => {
            let bytes = random_bytes()?;
            // 32 letters divide 256: each is as likely as another.
            let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
            let made: String = bytes[..MADE_CHARS].iter().map(letter).collect();
            Ok((Secret(made.clone()), Some(made)))
        }
    }
}

fn told(person: &Person, sessions: usize) -> Value {
    let row = &person.row;
    json!({
        "name": row.name,
        "display": row.display,
        "origin": row.origin,
        "roles": row.roles,
        "denied": row.denied,
        "created_ms": row.created_ms,
        "password_ms": row.password_ms,
        "disabled_ms": row.disabled_ms,
        "sessions": sessions,
    })
}

fn with_password(mut told: Value, made: Option<String>) -> Value {
    if let Some(made) = made {
        told["password"] = json!(made);
        told["note"] = json!("this is the only time the password is shown");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use crate::testing::shop;

    fn request(name: &str, roles: &[PersonRole]) -> PersonRequest {
        PersonRequest {
            name: name.to_owned(),
            display: String::new(),
            roles: roles.to_vec(),
            denied: Vec::new(),
            password: None,
        }
    }

    async fn refused(shop: &Workshop, operation: Operation) -> &'static str {
        shop.operate(operation).await.unwrap_err().code()
    }

    #[tokio::test]
    async fn the_first_runs_the_workshop_and_the_last_who_does_stays() {
        let (_folder, shop) = shop().await;
        let add = |name: &str, roles: &[PersonRole]| Operation::PersonAdd(request(name, roles));
        let tuner = add("anna", &[PersonRole::Tuner]);
        assert_eq!(refused(&shop, tuner.clone()).await, "person-request");
        let first = add("root", &[PersonRole::Administrator]);
        let told = shop.operate(first.clone()).await.unwrap();
        assert_eq!(told["password"].as_str().map(str::len), Some(MADE_CHARS));
        assert_eq!(told["from_now_on"], FROM_NOW_ON);
        assert_eq!(refused(&shop, first).await, "person-request");
        let second = shop.operate(tuner).await.unwrap();
        assert_eq!(second.get("from_now_on"), None);
        let name = || "root".to_owned();
        let out = Operation::PersonDisable { name: name() };
        assert_eq!(refused(&shop, out).await, "person-last");
        let other = |denied| Operation::PersonRoles {
            name: name(),
            roles: vec![PersonRole::Administrator],
            denied,
        };
        assert_eq!(
            refused(&shop, other(vec![Right::People])).await,
            "person-last"
        );
        shop.operate(other(vec![Right::Ask])).await.unwrap();
        let listed = shop.operate(Operation::People {}).await.unwrap();
        assert_eq!(listed["people"][1]["denied"], json!(["ask"]));
        assert!(!listed.to_string().contains("argon2"));
        let nobody = Operation::PersonDisable {
            name: "nobody".to_owned(),
        };
        assert_eq!(refused(&shop, nobody).await, "person-unknown");
        shop.stop().await;
    }

    #[tokio::test]
    async fn names_are_plain_and_passwords_hard_to_guess() {
        let (_folder, shop) = shop().await;
        let long = "x".repeat(NAME_CHARS_MAX + 1);
        for name in ["", "Anna", "a b", "../a", "a/b", "<b>", "安娜", &long] {
            let add = Operation::PersonAdd(request(name, &[PersonRole::Administrator]));
            assert_eq!(refused(&shop, add).await, "person-request", "{name}");
        }
        let mut weak = request("anna", &[PersonRole::Administrator]);
        weak.password = Some(Secret("password".to_owned()));
        let weak = Operation::PersonAdd(weak);
        assert_eq!(refused(&shop, weak).await, "person-request");
        assert!(shop.people().is_empty());
        shop.stop().await;
    }
}
