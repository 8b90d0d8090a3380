//! JSON Schemas of the types that the workshop's API sends and takes, read from their sources.
//!
//! What serde would write is read off the declaration: names, tags, what may be left out; a comment
//! becomes the description. Only what these types use is known, and anything else is refused by name.
//! Where two types have one name, that of a file with a prefix is called by it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syn::{Fields, Item, Type};

use super::serde_attributes::{Container, Field, documentation};
use crate::shell;

/// Where the types stand, and what a name is told apart by where another file has it too.
const FILES: &[(&str, &str)] = &[
    ("crates/evidence/src/receipt.rs", ""),
    ("crates/evidence/src/report.rs", "Report"),
    ("crates/evidence/src/statement/access.rs", ""),
    ("crates/evidence/src/statement/approval.rs", ""),
    ("crates/evidence/src/statement/base_model.rs", ""),
    ("crates/evidence/src/statement/breaker.rs", ""),
    ("crates/evidence/src/statement/dataset.rs", ""),
    ("crates/evidence/src/statement/deployment.rs", ""),
    ("crates/evidence/src/statement/evaluation.rs", ""),
    ("crates/evidence/src/statement/filing.rs", ""),
    ("crates/evidence/src/statement/key.rs", ""),
    ("crates/evidence/src/statement/registration.rs", ""),
    ("crates/evidence/src/statement/role.rs", ""),
    ("crates/evidence/src/statement/training.rs", ""),
    ("crates/evidence/src/statement/upstream.rs", ""),
    ("crates/evidence/src/statement/verdict.rs", ""),
    ("crates/evidence/src/statement/withdrawal.rs", ""),
    ("crates/evidence/src/statement/workshop.rs", "Statement"),
    ("crates/gate/src/check.rs", "Gate"),
    ("crates/gate/src/threshold.rs", "Gate"),
    ("crates/tune/src/preview.rs", "Lesson"),
    ("crates/workshop/src/bring.rs", ""),
    ("crates/workshop/src/bundle.rs", ""),
    ("crates/workshop/src/catalogue.rs", ""),
    ("crates/workshop/src/compare.rs", ""),
    ("crates/workshop/src/draft/recipe.rs", ""),
    ("crates/workshop/src/feedback.rs", ""),
    ("crates/workshop/src/models.rs", ""),
    ("crates/workshop/src/ops/mod.rs", ""),
    ("crates/workshop/src/order.rs", ""),
    ("crates/workshop/src/people.rs", ""),
    ("crates/workshop/src/people/log.rs", ""),
    ("crates/workshop/src/people/password.rs", ""),
    ("crates/workshop/src/people/role.rs", ""),
    ("crates/workshop/src/people/session.rs", ""),
    ("crates/workshop/src/settings.rs", ""),
    ("crates/workshop/src/token.rs", ""),
    ("crates/workshop/src/trace.rs", ""),
    ("crates/workshop/src/trace/filing.rs", ""),
    ("crates/workshop/src/upstream.rs", ""),
];

/// Types that stand for a text of digits: SHA-256 in lower-case hexadecimal.
const DIGESTS: &[&str] = &["Digest", "Link"];

/// What a file calls a type of another file.
const RENAMED: &[(&str, &str)] = &[("Scope", "AccessScope")];

/// A declaration, and the file it stands in.
struct Known {
    file: usize,
    item: Item,
}

/// The schemas that were made, and those that are still to be.
pub struct Types {
    known: Vec<Known>,
    made: BTreeMap<String, Value>,
    waiting: Vec<Wanted>,
}

/// A schema to be made: its name, of which declaration, and what its parameter is.
struct Wanted {
    name: String,
    known: usize,
    argument: Option<Value>,
}

/// Where a type is spelt: the file, and what a generic parameter stands for there.
#[derive(Clone, Copy)]
struct Scope<'a> {
    file: usize,
    parameter: Option<(&'a str, &'a Value)>,
}

impl Types {
    /// Reads the sources.
    pub fn read() -> Result<Types, String> {
        let mut known = Vec::new();
        for (file, (path, _)) in FILES.iter().enumerate() {
            let text = std::fs::read_to_string(shell::root().join(path))
                .map_err(|error| format!("reading {path}: {error}"))?;
            let parsed = syn::parse_file(&text).map_err(|error| format!("{path}: {error}"))?;
            let items = parsed.items.into_iter();
            let items = items.filter(|item| matches!(item, Item::Struct(_) | Item::Enum(_)));
            known.extend(items.map(|item| Known { file, item }));
        }
        Ok(Types {
            known,
            made: BTreeMap::new(),
            waiting: Vec::new(),
        })
    }

    /// The schemas of the types of these names, and of all they consist of, by their names.
    pub fn schemas(mut self, roots: &[String]) -> Result<Map<String, Value>, String> {
        for root in roots {
            let named = |at: &usize| self.schema_name(*at) == *root;
            let known = (0..self.known.len()).find(named);
            let known = known.ok_or_else(|| format!("no source declares the type {root}"))?;
            self.waiting.push(Wanted {
                name: root.clone(),
                known,
                argument: None,
            });
        }
        while let Some(wanted) = self.waiting.pop() {
            if !self.made.contains_key(&wanted.name) {
                // A type may hold itself.
                self.made.insert(wanted.name.clone(), Value::Null);
                let schema = self.of_item(wanted.known, wanted.argument.as_ref())?;
                self.made.insert(wanted.name, schema);
            }
        }
        let digest = json!({
            "type": "string",
            "description": "SHA-256 in lower-case hexadecimal.",
            "pattern": "^[0-9a-f]{64}$",
        });
        self.made.insert("Digest".to_owned(), digest);
        Ok(self.made.into_iter().collect())
    }

    /// What a declaration is called among the schemas.
    fn schema_name(&self, at: usize) -> String {
        let (_, prefix) = FILES[self.known[at].file];
        let name = ident_of(&self.known[at].item);
        let others = self.known.iter().filter(|it| ident_of(&it.item) == name);
        if others.count() > 1 {
            format!("{prefix}{name}")
        } else {
            name
        }
    }

    /// The declaration of `name` as the file `from` means it: its own, else the one without a prefix.
    fn find(&self, name: &str, from: usize) -> Result<usize, String> {
        let renamed = RENAMED.iter().find(|(here, _)| *here == name);
        let name = renamed.map_or(name, |(_, there)| *there);
        let named = |own: &dyn Fn(&Known) -> bool| {
            let mut known = self.known.iter();
            known.position(|it| ident_of(&it.item) == name && own(it))
        };
        named(&|it| it.file == from)
            .or_else(|| named(&|it| FILES[it.file].1.is_empty()))
            .or_else(|| named(&|_| true))
            .ok_or_else(|| {
                let (path, _) = FILES[from];
                format!("{path} uses the type {name}, which no listed file declares")
            })
    }

    fn of_item(&mut self, at: usize, argument: Option<&Value>) -> Result<Value, String> {
        let (file, item) = (self.known[at].file, self.known[at].item.clone());
        let (attributes, generics) = match &item {
            Item::Struct(it) => (&it.attrs, &it.generics),
            Item::Enum(it) => (&it.attrs, &it.generics),
            _ => return Err("neither a struct nor an enum".to_owned()),
        };
        let parameter = generics.type_params().next();
        let parameter = parameter.map(|it| it.ident.to_string());
        let scope = Scope {
            file,
            parameter: parameter.as_deref().zip(argument),
        };
        let container = Container::read(attributes)?;
        if let Some(name) = &container.written_as {
            let mut schema = self.of_item(self.find(name, file)?, None)?;
            describe(&mut schema, attributes);
            return Ok(schema);
        }
        let mut schema = match &item {
            Item::Struct(it) => self.of_fields(&it.fields, &container, scope)?,
            Item::Enum(it) => self.of_enum(it, &container, scope)?,
            _ => Value::Null,
        };
        describe(&mut schema, attributes);
        Ok(schema)
    }

    fn of_fields(
        &mut self,
        fields: &Fields,
        container: &Container,
        scope: Scope<'_>,
    ) -> Result<Value, String> {
        let fields = match fields {
            Fields::Named(fields) => &fields.named,
            // One value, written as itself.
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                return self.of_type(&fields.unnamed[0].ty, scope);
            }
            _ => return Err("a tuple of several values is not known here".to_owned()),
        };
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in fields {
            let read = Field::read(&field.attrs)?;
            let name = field.ident.as_ref().map(ToString::to_string);
            let name = read.rename.or(name).ok_or("a field without a name")?;
            let mut schema = self.of_type(&field.ty, scope)?;
            describe(&mut schema, &field.attrs);
            if !read.may_be_absent {
                required.push(json!(name));
            }
            properties.insert(name, schema);
        }
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        if container.closed {
            schema["additionalProperties"] = json!(false);
        }
        Ok(schema)
    }

    fn of_enum(
        &mut self,
        declared: &syn::ItemEnum,
        container: &Container,
        scope: Scope<'_>,
    ) -> Result<Value, String> {
        let mut named = Vec::new();
        for variant in &declared.variants {
            let read = Field::read(&variant.attrs)?;
            let name = container.style.apply(&variant.ident.to_string());
            named.push((read.rename.unwrap_or(name), variant));
        }
        let units = named
            .iter()
            .all(|(_, it)| matches!(it.fields, Fields::Unit));
        if units && container.tag.is_none() {
            let names: Vec<&String> = named.iter().map(|(name, _)| name).collect();
            return Ok(json!({"type": "string", "enum": names}));
        }
        let mut choices = Vec::new();
        for (name, variant) in named {
            let closed = Container {
                closed: container.closed,
                ..Container::default()
            };
            let mut choice = match &container.tag {
                Some(tag) => {
                    let members = self.members(&variant.fields, &closed, scope)?;
                    with_tag(members, tag, &name)
                }
                None => {
                    let inner = self.of_fields(&variant.fields, &closed, scope)?;
                    let mut properties = Map::new();
                    properties.insert(name.clone(), inner);
                    json!({
                        "type": "object", "properties": properties, "required": [name],
                        "additionalProperties": false,
                    })
                }
            };
            describe(&mut choice, &variant.attrs);
            choices.push(choice);
        }
        Ok(json!({"oneOf": choices}))
    }

    /// The members of a tagged variant; those of the struct where it holds one.
    fn members(
        &mut self,
        fields: &Fields,
        closed: &Container,
        scope: Scope<'_>,
    ) -> Result<Value, String> {
        if let Fields::Unnamed(fields) = fields
            && let Some(Type::Path(path)) = fields.unnamed.first().map(|it| &it.ty)
            && let Some(last) = path.path.segments.last()
        {
            let known = self.find(&last.ident.to_string(), scope.file)?;
            return self.of_item(known, None);
        }
        self.of_fields(fields, closed, scope)
    }

    fn of_type(&mut self, spelt: &Type, scope: Scope<'_>) -> Result<Value, String> {
        let Type::Path(path) = spelt else {
            return Err("a type that is no path is not known here".to_owned());
        };
        let last = path.path.segments.last().ok_or("a type without a name")?;
        let name = last.ident.to_string();
        if let Some((_, argument)) = scope.parameter.filter(|(own, _)| *own == name) {
            return Ok(argument.clone());
        }
        let inner = arguments(&last.arguments);
        if let Some(schema) = plain(&name) {
            return Ok(schema);
        }
        match (name.as_str(), &inner[..]) {
            ("Option", [inner]) => self.of_type(inner, scope).map(or_null),
            ("Vec", [inner]) => {
                let items = self.of_type(inner, scope)?;
                Ok(json!({"type": "array", "items": items}))
            }
            ("BTreeMap", [_, inner]) => {
                let values = self.of_type(inner, scope)?;
                Ok(json!({"type": "object", "additionalProperties": values}))
            }
            (_, []) => self.refer(&name, None, scope),
            (_, [inner]) => {
                let argument = self.of_type(inner, scope)?;
                self.refer(&name, Some(argument), scope)
            }
            _ => Err(format!("the type {name} is not known here")),
        }
    }

    /// A reference to the schema of a declared type, which is made later.
    fn refer(
        &mut self,
        name: &str,
        argument: Option<Value>,
        scope: Scope<'_>,
    ) -> Result<Value, String> {
        let known = self.find(name, scope.file)?;
        let mut called = self.schema_name(known);
        let of = argument.as_ref().and_then(|it| it["$ref"].as_str());
        if let Some(of) = of.and_then(|it| it.rsplit('/').next()) {
            called.push_str(of);
        }
        self.waiting.push(Wanted {
            name: called.clone(),
            known,
            argument,
        });
        Ok(json!({"$ref": format!("#/components/schemas/{called}")}))
    }
}

fn ident_of(item: &Item) -> String {
    match item {
        Item::Struct(it) => it.ident.to_string(),
        Item::Enum(it) => it.ident.to_string(),
        _ => String::new(),
    }
}

/// The schema of a type that every source knows.
fn plain(name: &str) -> Option<Value> {
    Some(match name {
        "String" | "PathBuf" => json!({"type": "string"}),
        "bool" => json!({"type": "boolean"}),
        "u32" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        "u64" | "usize" => json!({"type": "integer", "minimum": 0}),
        "i64" => json!({"type": "integer"}),
        "f32" | "f64" => json!({"type": "number"}),
        "Map" => json!({"type": "object"}),
        "Value" => json!({}),
        // By the names of questions.
        "Answers" => json!({"type": "object", "additionalProperties": {"type": "boolean"}}),
        _ if DIGESTS.contains(&name) => json!({"$ref": "#/components/schemas/Digest"}),
        _ => return None,
    })
}

fn arguments(arguments: &syn::PathArguments) -> Vec<&Type> {
    let syn::PathArguments::AngleBracketed(list) = arguments else {
        return Vec::new();
    };
    let types = list.args.iter().map(|argument| match argument {
        syn::GenericArgument::Type(inner) => Some(inner),
        _ => None,
    });
    types.flatten().collect()
}

/// The same, or null.
fn or_null(mut schema: Value) -> Value {
    let plain = schema["enum"].is_null() && schema["type"].is_string();
    if plain {
        schema["type"] = json!([schema["type"], "null"]);
        schema
    } else if schema == json!({}) {
        schema
    } else {
        json!({"anyOf": [schema, {"type": "null"}]})
    }
}

/// The members of an object, with the one that tells which it is in front.
fn with_tag(mut members: Value, tag: &str, name: &str) -> Value {
    let mut properties = Map::new();
    properties.insert(tag.to_owned(), json!({"const": name}));
    if let Some(own) = members["properties"].as_object() {
        properties.extend(own.clone());
    }
    let own = members["required"].as_array().cloned().unwrap_or_default();
    let required: Vec<Value> = std::iter::once(json!(tag)).chain(own).collect();
    members["type"] = json!("object");
    members["properties"] = Value::Object(properties);
    members["required"] = Value::Array(required);
    members
}

/// Adds what the comment says, unless nothing is said.
fn describe(schema: &mut Value, attributes: &[syn::Attribute]) {
    let text = documentation(attributes);
    if !text.is_empty() {
        schema["description"] = json!(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schemas of a source that is not among the files.
    fn schemas_of(source: &str, root: &str) -> Value {
        let items = syn::parse_file(source).expect("it parses").items;
        let types = Types {
            known: items
                .into_iter()
                .map(|item| Known { file: 0, item })
                .collect(),
            made: BTreeMap::new(),
            waiting: Vec::new(),
        };
        Value::Object(types.schemas(&[root.to_owned()]).expect("schemas"))
    }

    #[test]
    fn a_struct_is_what_serde_writes() {
        let made = schemas_of(
            "/// A row.\n#[serde(deny_unknown_fields)] struct Row { /// Its name.\n id: OrderId, \
             #[serde(default, skip_serializing_if = \"Option::is_none\")] note: Option<String>, \
             state: Option<State>, links: Vec<Link>, said: Said<State> }\n\
             #[serde(transparent)] struct OrderId(String);\n\
             #[serde(rename_all = \"kebab-case\")] enum State { ForcedOpen, #[serde(rename = \"self\")] Own }\n\
             struct Said<T> { said: T }",
            "Row",
        );
        let state = json!({"$ref": "#/components/schemas/State"});
        assert_eq!(
            made["Row"],
            json!({
                "type": "object",
                "properties": {
                    "id": {"$ref": "#/components/schemas/OrderId", "description": "Its name."},
                    "note": {"type": ["string", "null"]},
                    "state": {"anyOf": [state, {"type": "null"}]},
                    "links": {"type": "array", "items": {"$ref": "#/components/schemas/Digest"}},
                    "said": {"$ref": "#/components/schemas/SaidState"},
                },
                "required": ["id", "state", "links", "said"],
                "additionalProperties": false,
                "description": "A row.",
            })
        );
        assert_eq!(made["OrderId"], json!({"type": "string"}));
        assert_eq!(
            made["State"],
            json!({"type": "string", "enum": ["forced-open", "self"]})
        );
        assert_eq!(made["SaidState"]["properties"]["said"], state);
    }

    #[test]
    fn a_tag_stands_beside_the_members() {
        let made = schemas_of(
            "#[serde(tag = \"do\", rename_all = \"kebab-case\", deny_unknown_fields)] \
             enum Operation { Pending {}, Flip { name: String }, Make(Request) }\n\
             #[serde(deny_unknown_fields)] struct Request { days: u32 }",
            "Operation",
        );
        let choices = made["Operation"]["oneOf"].as_array().expect("choices");
        let named: Vec<(&Value, &Value)> = choices
            .iter()
            .map(|it| (&it["properties"]["do"]["const"], &it["required"]))
            .collect();
        assert_eq!(
            named,
            [
                (&json!("pending"), &json!(["do"])),
                (&json!("flip"), &json!(["do", "name"])),
                (&json!("make"), &json!(["do", "days"])),
            ]
        );
        assert!(choices.iter().all(|it| it["additionalProperties"] == false));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let items = syn::parse_file("struct Row { other: Elsewhere }").expect("it parses");
        let types = Types {
            known: items
                .items
                .into_iter()
                .map(|item| Known { file: 0, item })
                .collect(),
            made: BTreeMap::new(),
            waiting: Vec::new(),
        };
        let error = types.schemas(&["Row".to_owned()]).expect_err("unknown");
        assert!(error.contains("Elsewhere"), "{error}");
    }
}
