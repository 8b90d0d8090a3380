//! `/orders/new`: an order as a form, as YAML and as a command line, which say the same; a recipe in the words of
//! LLaMA-Factory fills it as far as it speaks of learning.
//!
//! The form shows the settings that matter as the pack has them; what differs from the pack is what the
//! order changes. Every button returns the whole page: what would be placed, what it would take, and each
//! mistake at its field. What can be and what cannot is the workshop's to say (`lathe_workshop::draft`).

pub(super) mod fields;
pub(super) mod plan;

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::draft::{
    OrderPlan, OrderRecipe, PackLine, PackSettings, RecipePart, RecipeRequest,
};
use lathe_workshop::people::{COMMON, Right, answers_as};
use lathe_workshop::{Operation, OrderRequest, WorkshopError};
use serde::Deserialize;
use serde_json::Value;

use self::fields::{Group, Stage, emptied, groups, request_of, rest, stages, wrong};
use self::plan::{Planned, Settled};
use super::alert::{Alert, Mistake};
use super::answering::{self, Taken};
use super::change::setting_text;
use super::{Frame, Problem, asked, orders, projects};
use crate::lang::{Say, Tongue};
use crate::{AppState, api};

#[derive(Template)]
#[template(path = "new_order.html")]
struct NewOrderPage {
    frame: Frame,
    packs: Vec<PackChoice>,
    pack: String,
    title: String,
    quick: bool,
    offline: bool,
    groups: Vec<Group>,
    stages: Vec<Stage>,
    more: String,
    /// Mistakes that are at no field of the form.
    mistakes: Vec<Mistake>,
    error: Option<Alert>,
    yaml: String,
    yaml_error: Option<Alert>,
    /// The recipe as it was sent, and what was made of it where it was to be read.
    recipe: String,
    read: Option<RecipeRead>,
    /// The order as a line for a shell; empty where it would be refused.
    command: String,
    planned: Planned,
    settings: Vec<(String, String)>,
    /// The projects that the order can be placed in, where there is a choice.
    projects: Vec<projects::Choice>,
    /// Who answers under the name that its model would take.
    taken: Option<Taken>,
}

impl NewOrderPage {
    fn is_recipe_wrong(&self) -> bool {
        let read = self.read.as_ref();
        read.is_some_and(|read| !read.mistakes.is_empty())
    }

    /// Id and name of the inputs at which something is wrong.
    fn wrong(&self) -> Vec<(String, String)> {
        wrong(
            &self.groups,
            &self.mistakes,
            self.frame.say.it("web.new.more"),
        )
    }
}

struct PackChoice {
    pack: String,
    label: String,
}

/// What was made of a recipe.
struct RecipeRead {
    mistakes: Vec<Mistake>,
    /// The keys that somebody else decides, and who; those without effect.
    left: Vec<(String, String)>,
}

/// `?pack=&quick=`: which pack the form is of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    pack: Option<String>,
    quick: Option<String>,
}

/// What is shown beside what was asked for.
#[derive(Default)]
struct Told {
    /// Why it was refused as a whole.
    error: Option<WorkshopError>,
    /// YAML that could not be read, with why.
    yaml: Option<(String, WorkshopError)>,
    /// Lines of changes that could not be read.
    more: Option<String>,
    /// A recipe, and what was made of it.
    recipe: String,
    read: Option<OrderRecipe>,
    /// Needed fields that were sent empty.
    emptied: Vec<Mistake>,
    status: StatusCode,
}

impl Told {
    fn refused(self, error: WorkshopError) -> Told {
        Told {
            status: api::status_of(&error),
            error: Some(error),
            ..self
        }
    }
}

/// `GET /orders/new`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Query(query) = query.unwrap_or_default();
    let packs = match packs(&state).await {
        Ok(packs) => packs,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let named = query.pack.filter(|it| !it.trim().is_empty());
    let first = packs.first().map(|line| line.pack.clone());
    let pack = named.or(first);
    let request = OrderRequest {
        pack: pack.clone().unwrap_or_default().into(),
        quick: query.quick.is_some(),
        offline: false,
        set: BTreeMap::new(),
        project: projects::usual(&state, Right::Tune),
    };
    if pack.is_none() {
        // Nothing was asked for, and there is nothing to offer: no mistake of anybody's.
        let (status, page) = view(tongue, &request, packs, None, None, Told::default());
        return page.frame.answer(status, &page);
    }
    show(&state, tongue, request, Told::default()).await
}

/// `POST /orders/new`: checks what the form says, reads YAML or a recipe into it, or places the order.
pub(super) async fn act(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, it)| &it[..])
    };
    let does = value("do").unwrap_or("check");
    let yaml = value("yaml").unwrap_or_default();
    let bare = OrderRequest {
        pack: value("pack").unwrap_or_default().trim().into(),
        quick: value("was_quick").is_some(),
        offline: false,
        set: BTreeMap::new(),
        project: projects::named(value("project")),
    };
    let told = Told {
        recipe: value("recipe").unwrap_or_default().to_owned(),
        // What is read in is what counts then.
        emptied: match does {
            "yaml" => Vec::new(),
            _ => emptied(tongue.say, &pairs),
        },
        ..Told::default()
    };
    let own = match own(&state, &bare).await {
        Ok(own) => own,
        Err(error) => return show(&state, tongue, bare, told.refused(error)).await,
    };
    let written = match request_of(&pairs, &own.settings) {
        Ok(request) => request,
        Err(error) => {
            let told = Told {
                more: value("more").map(str::to_owned),
                ..told.refused(error)
            };
            return show(&state, tongue, bare, told).await;
        }
    };
    match does {
        "yaml" => match OrderRequest::from_yaml(yaml) {
            Ok(request) => show(&state, tongue, request, told).await,
            Err(error) => {
                let told = Told {
                    status: api::status_of(&error),
                    yaml: Some((yaml.to_owned(), error)),
                    ..told
                };
                show(&state, tongue, written, told).await
            }
        },
        "recipe" => {
            let (request, told) = with_recipe(&state, written, told).await;
            show(&state, tongue, request, told).await
        }
        "place" if told.emptied.is_empty() => match orders::placed(&state, written.clone()).await {
            Ok(answer) => answer,
            Err(error) => show(&state, tongue, written, told.refused(error)).await,
        },
        _ => show(&state, tongue, written, told).await,
    }
}

/// The order with what the recipe says of learning, and what is to be told of that.
async fn with_recipe(state: &AppState, request: OrderRequest, told: Told) -> (OrderRequest, Told) {
    let asks = RecipeRequest::of(request.clone(), told.recipe.clone());
    let read = asked::<OrderRecipe>(state, Operation::OrderRecipe(asks)).await;
    match read {
        Ok(read) => {
            let request = OrderRequest {
                set: read.set.clone(),
                ..request
            };
            let status = match read.mistakes.is_empty() {
                true => StatusCode::OK,
                false => StatusCode::BAD_REQUEST,
            };
            let read = Some(read);
            (
                request,
                Told {
                    status,
                    read,
                    ..told
                },
            )
        }
        Err(error) => (request, told.refused(error)),
    }
}

/// The packs that an order can be made of.
pub(super) async fn packs(state: &AppState) -> Result<Vec<PackLine>, WorkshopError> {
    #[derive(Deserialize)]
    struct Packs {
        packs: Vec<PackLine>,
    }
    asked::<Packs>(state, Operation::Packs {})
        .await
        .map(|it| it.packs)
}

async fn own(state: &AppState, request: &OrderRequest) -> Result<PackSettings, WorkshopError> {
    let operation = Operation::PackShow {
        pack: request.pack.clone(),
        quick: request.quick,
    };
    asked(state, operation).await
}

async fn show(state: &AppState, tongue: Tongue, request: OrderRequest, mut told: Told) -> Response {
    let packs = match packs(state).await {
        Ok(packs) => packs,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let own = own(state, &request).await;
    let plan: Result<OrderPlan, WorkshopError> = match &own {
        Ok(_) => asked(state, Operation::OrderPlan(request.clone())).await,
        Err(_) => Err(WorkshopError::new("internal", "", "")),
    };
    let (own, plan) = match (own, plan) {
        (Ok(own), Ok(plan)) => (Some(own), Some(plan)),
        (Err(error), _) | (_, Err(error)) => {
            // What the pack itself is refused for explains everything else.
            told.status = api::status_of(&error);
            told.error = Some(error);
            (None, None)
        }
    };
    let (say, asked) = (tongue.say, request.project.as_deref());
    let choices = projects::choices(state, say, Right::Tune, asked);
    let taken = match &own {
        Some(own) => answering::taken(state, say, &name_of(&request, own)).await,
        None => Ok(None),
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let (status, mut page) = view(tongue, &request, packs, own, plan, told);
    (page.projects, page.taken) = (choices, taken);
    page.frame.answer(status, &page)
}

/// The name that the model of an order would answer under.
fn name_of(request: &OrderRequest, own: &PackSettings) -> String {
    let named = request.set.get("name").and_then(Value::as_str);
    let project = request.project.as_deref().unwrap_or(COMMON);
    answers_as(project, named.unwrap_or(&own.name), request.quick)
}

fn view(
    tongue: Tongue,
    request: &OrderRequest,
    packs: Vec<PackLine>,
    own: Option<PackSettings>,
    plan: Option<OrderPlan>,
    told: Told,
) -> (StatusCode, NewOrderPage) {
    let say = tongue.say;
    let settings = own
        .as_ref()
        .map(|own| own.settings.clone())
        .unwrap_or_default();
    let Settled {
        planned,
        mut mistakes,
        error,
        status,
    } = Settled::new(
        say,
        plan.as_ref(),
        told.emptied,
        (told.status, told.error),
        "web.place.submit",
    );
    let groups = match own {
        Some(_) => groups(say, &settings, &request.set, &mut mistakes, "web.new.own"),
        None => Vec::new(),
    };
    let page = NewOrderPage {
        packs: packs.into_iter().map(|line| choice(say, line)).collect(),
        pack: request.pack.to_string_lossy().into_owned(),
        title: own.map_or_else(String::new, |own| {
            say.pick(&own.title.en, &own.title.zh).to_owned()
        }),
        quick: request.quick,
        offline: request.offline,
        groups,
        stages: stages(say, &settings, &request.set),
        more: told.more.unwrap_or_else(|| rest(&settings, &request.set)),
        mistakes,
        error,
        yaml_error: told.yaml.as_ref().map(|(_, error)| Alert::new(say, error)),
        yaml: told.yaml.map_or_else(|| request.yaml(), |(text, _)| text),
        recipe: told.recipe,
        read: told.read.map(|read| recipe_read(say, read)),
        // What would be refused is not offered.
        command: match planned.is_sound {
            true => request.command(),
            false => String::new(),
        },
        planned,
        projects: Vec::new(),
        taken: None,
        settings: settings
            .iter()
            .map(|(key, value)| (key.clone(), setting_text(value)))
            .collect(),
        frame: Frame::new(tongue, "orders"),
    };
    (status, page)
}

fn choice(say: Say, line: PackLine) -> PackChoice {
    let title = say.pick(&line.title.en, &line.title.zh);
    PackChoice {
        label: match title == line.name {
            true => line.name,
            false => format!("{title} ({})", line.name),
        },
        pack: line.pack,
    }
}

/// The mistakes of a recipe, and its keys that say nothing to the form, by who decides about them.
fn recipe_read(say: Say, read: OrderRecipe) -> RecipeRead {
    let parts = [
        (RecipePart::Model, "model"),
        (RecipePart::Data, "data"),
        (RecipePart::Measuring, "measuring"),
        (RecipePart::Output, "output"),
    ];
    let comma = say.it("web.sign.comma");
    let of = |part: RecipePart| {
        let keys = read.left.iter().filter(|it| it.part == part);
        let keys: Vec<&str> = keys.map(|it| it.key.as_str()).collect();
        keys.join(&comma)
    };
    let left = parts.map(|(part, name)| (say.it_of("web.new.recipe.left", name), of(part)));
    let ignored = (say.it("web.new.recipe.ignored"), read.ignored.join(&comma));
    let left = left.into_iter().chain([ignored]);
    RecipeRead {
        left: left.filter(|(_, keys)| !keys.is_empty()).collect(),
        mistakes: read
            .mistakes
            .iter()
            .map(|it| Mistake::new(say, it))
            .collect(),
    }
}
