//! Real workshops for looking at. No order runs in them, and nobody answers: what they hold is put there by the
//! operations that pages and commands use. Names, reviews and feedback are invented.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lathe_evidence::receipt::Ended;
use lathe_evidence::{Digest, canonical};
use lathe_workshop::bring::{AnswerKind, BringBegin, BringMake, Mapping};
use lathe_workshop::feedback::{FeedbackKind, FeedbackReview, Given, Giver, Review};
use lathe_workshop::people::{
    Attempt, AuditRow, Kind, Origin, PersonRequest, PersonRole, ProjectRequest, Right, Secret,
};
use lathe_workshop::token::{Allowance, Scope, TokenRequest};
use lathe_workshop::{Opening, Operation, OrderRequest, ReceiptDraft, Texts, Workshop};
use serde_json::{Value, json};

use crate::Outcome;
use crate::sample::nobody::workshop;

/// Everybody's password.
const PASSWORD: &str = "correct horse battery";
/// Who reads the pages: every role, so that every page opens.
const READER: &str = "lin.mei";
/// Who tunes, and may do nothing else.
const TUNER: &str = "anna.berg";
/// Rows of the audit: more than one page shows.
const AUDITED: usize = 60;
/// How browsers call themselves.
const AGENTS: [&str; 2] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
];

/// A workshop in which nobody and nothing is yet. Its folder is left to whoever gave the folder for such files.
pub async fn fresh() -> Outcome<Workshop> {
    let folder = tempfile::tempdir()?.keep();
    Ok(workshop(&folder.join("home"), None).await?)
}

/// A workshop with people and what they brought, and what only this run knows of it; `text` for what they wrote.
pub async fn staffed(text: Option<&str>) -> Outcome<(Workshop, Value)> {
    let shop = fresh().await?;
    let says = Says(text);
    people(&shop, says).await?;
    projects(&shop, says).await?;
    keys(&shop, says).await?;
    let versions = versions(&shop, says).await?;
    let file = bring(&shop, &says.file("complaints-2026"), &table(says, 40, true)).await?;
    begun(&shop, says).await?;
    feedback(&shop, says).await?;
    let pack = tiny_pack()?;
    let order = shop.submit(OrderRequest {
        pack: pack.clone(),
        quick: false,
        offline: true,
        project: None,
        set: Default::default(),
    });
    let order = order.await?;
    audit(&shop, says).await?;
    log_in(&shop, READER, AGENTS[0]).await?;
    let known = json!({
        "pack": pack,
        "order": order,
        "file": file,
        "from": versions[0],
        "to": versions[1],
        "session": log_in(&shop, READER, AGENTS[1]).await?,
        "tuner": log_in(&shop, TUNER, AGENTS[0]).await?,
    });
    Ok((shop, known))
}

/// What people write: what is given here, or one text in every place.
#[derive(Clone, Copy)]
struct Says<'a>(Option<&'a str>);

impl Says<'_> {
    /// At most so many letters of it.
    fn it(self, plain: &str, chars_max: usize) -> String {
        let text = self.0.unwrap_or(plain);
        text.chars().take(chars_max).collect()
    }

    /// The name of a table.
    fn file(self, plain: &str) -> String {
        format!("{}.csv", self.it(plain, 60))
    }
}

async fn people(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let all: [(&str, &str, &[PersonRole], &[Right]); 5] = [
        (READER, "Lin Mei", &PersonRole::ALL, &[]),
        (TUNER, "Anna Berg", &[PersonRole::Tuner], &[]),
        (
            "chen.wei",
            "陈伟",
            &[PersonRole::DataOwner, PersonRole::Approver],
            &[Right::Ask],
        ),
        ("omar.said", "Omar Said", &[PersonRole::Operator], &[]),
        ("zoe.hart", "Zoë Hart", &[PersonRole::Auditor], &[]),
    ];
    for (name, display, roles, denied) in all {
        let request = PersonRequest {
            name: name.to_owned(),
            display: says.it(display, 100),
            roles: roles.to_vec(),
            denied: denied.to_vec(),
            password: Some(Secret(PASSWORD.to_owned())),
        };
        shop.operate(Operation::PersonAdd(request)).await?;
    }
    let name = "zoe.hart".to_owned();
    shop.operate(Operation::PersonDisable { name }).await?;
    // Somebody whose password is kept elsewhere.
    let origin = Origin {
        kind: Kind::Oidc,
        way: "plant".to_owned(),
        subject: says.it("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 200),
    };
    let display = says.it("Mira Sol", 100);
    let names = ("mira.sol", display.as_str());
    let roles = [PersonRole::Tuner, PersonRole::Auditor];
    let admitted = shop.people().admit_unproved(origin, names, &roles);
    let refused = admitted.await.err();
    refused.map_or(Ok(()), |shut| Err(format!("mira.sol: {shut:?}").into()))
}

/// A project with two members, one of whom is denied something there.
async fn projects(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let request = ProjectRequest {
        id: "ward".to_owned(),
        name: says.it("Ward 7", 100),
    };
    shop.operate(Operation::ProjectCreate(request)).await?;
    let parts: [(&str, &[PersonRole], &[Right]); 2] = [
        ("mira.sol", &[PersonRole::DataOwner], &[]),
        ("chen.wei", &PersonRole::ALL, &[Right::Approve]),
    ];
    for (person, roles, denied) in parts {
        shop.operate(Operation::ProjectMember {
            project: "ward".to_owned(),
            person: person.to_owned(),
            roles: roles.to_vec(),
            denied: denied.to_vec(),
        })
        .await?;
    }
    Ok(())
}

async fn log_in(shop: &Workshop, name: &str, agent: &str) -> Outcome<String> {
    let attempt = Attempt {
        name: name.to_owned(),
        password: Secret(PASSWORD.to_owned()),
        address: None,
        agent: agent.to_owned(),
        before: None,
    };
    let session = shop.people().log_in(attempt).await;
    session.map_err(|shut| format!("{name} does not come in: {shut:?}").into())
}

async fn keys(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let limited = Allowance {
        requests_per_minute: Some(60),
        tokens_per_minute: Some(20_000),
        tokens_per_day: Some(1_000_000),
    };
    let all = [
        ("Old shop floor", &[Scope::Answer][..], None, limited),
        (
            "Night batch",
            &[Scope::Answer, Scope::Tune],
            Some(90),
            limited,
        ),
        ("Grafana", &[Scope::Metrics], None, Allowance::default()),
    ];
    for (name, scopes, expires_days, allowance) in all {
        let models = match scopes {
            [Scope::Metrics] => Vec::new(),
            _ => vec![says.it("customer-care", 100)],
        };
        let request = TokenRequest {
            name: says.it(name, 100),
            scopes: scopes.to_vec(),
            models,
            project: lathe_workshop::people::COMMON.to_owned(),
            expires_days,
            allowance,
        };
        shop.operate(Operation::TokenCreate(request)).await?;
    }
    let all = shop.tokens().all();
    let first = all.first().ok_or("no key was issued")?;
    let revoke = Operation::TokenRevoke {
        id: first.id().to_owned(),
        reason: says.it("its machine was sold", 300),
    };
    shop.operate(revoke).await?;
    Ok(())
}

/// Reviews with their labels; a `spoilt` table has what a look at it finds: personal data, a row twice, and a row
/// that another one contradicts.
fn table(says: Says<'_>, rows: usize, spoilt: bool) -> String {
    let texts = [
        ("The zip broke on the second day.", "repair"),
        ("Where is my parcel? It was due on Monday.", "delivery"),
        ("收到的杯子有一道裂纹，希望换一个。", "repair"),
        ("Please send the invoice once more.", "billing"),
        ("物流信息三天没有更新了。", "delivery"),
    ];
    let mut table = "ticket,text,label\n".to_owned();
    for row in 0..rows {
        let (text, label) = texts[row % texts.len()];
        let text = says.it(text, 400);
        let _ = writeln!(table, "{row},\"{text} #{row}\",{label}");
    }
    if spoilt {
        table.push_str("40,Call me back on 13800138000 or write to mei@example.com,billing\n");
        table.push_str("41,Please send the invoice once more. #3,billing\n");
        table.push_str("42,Please send the invoice once more. #8,repair\n");
    }
    table
}

/// Brings a table whole; its id.
async fn bring(shop: &Workshop, name: &str, text: &str) -> Outcome<String> {
    let begin = BringBegin {
        name: name.to_owned(),
        bytes: Some(text.len() as u64),
        sha256: None,
        project: None,
    };
    let file = shop.operate(Operation::BringBegin(begin)).await?;
    let id = file["id"]
        .as_str()
        .ok_or("a file without an id")?
        .to_owned();
    shop.bring_piece(&id, 0, text.as_bytes().to_vec()).await?;
    Ok(id)
}

/// A file that broke off.
async fn begun(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let begin = BringBegin {
        name: says.file("calls"),
        bytes: Some(3 << 20),
        sha256: None,
        project: None,
    };
    let file = shop.operate(Operation::BringBegin(begin)).await?;
    let id = file["id"].as_str().ok_or("a file without an id")?;
    shop.bring_piece(id, 0, vec![b'a'; 2 << 20]).await?;
    Ok(())
}

/// Two versions of a dataset.
async fn versions(shop: &Workshop, says: Says<'_>) -> Outcome<[String; 2]> {
    let mut digests = [String::new(), String::new()];
    for (at, digest) in digests.iter_mut().enumerate() {
        let id = bring(
            shop,
            &says.file("reviews"),
            &table(says, 40 + 5 * at, false),
        )
        .await?;
        let make = BringMake {
            id,
            mapping: Mapping {
                kind: AnswerKind::Label,
                question: "text".to_owned(),
                answer: "label".to_owned(),
                instruction: None,
                group: None,
                sheet: None,
            },
            name: "reviews".to_owned(),
            licence: says.it("CC-BY-4.0", 200),
            owner: says.it("Our shop", 200),
            language: None,
            model: None,
            next_version: at > 0,
        };
        let made = shop.operate(Operation::BringMake(make)).await?;
        let made = made["dataset"]["digest"].as_str();
        made.ok_or("a dataset without a digest")?.clone_into(digest);
    }
    Ok(digests)
}

/// What callers said of answers: most of it waits.
async fn feedback(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let said = [
        ("The zip broke on the second day.", "delivery", "repair"),
        ("物流信息三天没有更新了。", "repair", "delivery"),
        ("Please send the invoice once more.", "repair", "billing"),
        ("Where is my parcel?", "billing", "delivery"),
        ("The cup has a crack.", "billing", "repair"),
    ];
    let mut ids = Vec::new();
    for (question, answer, right) in said {
        let question = says.it(question, 400);
        let receipt = answered(shop, &question, &says.it(answer, 400)).await?;
        for (from, right) in [
            ("counter 1", right),
            ("counter 2", right),
            ("night shift", answer),
        ] {
            let given = Given {
                receipt: receipt.clone(),
                kind: FeedbackKind::Correction,
                correction: Some(says.it(right, 400)),
                reason: Some(says.it("It went to the wrong team.", 400)),
                from: Some(says.it(from, 60)),
                prompt: None,
            };
            ids.push(give(shop, given).await?);
        }
    }
    let complaint = Given {
        receipt: answered(shop, "When do you open?", "repair").await?,
        kind: FeedbackKind::Complaint,
        correction: None,
        reason: Some(says.it("The answer has nothing to do with the question.", 400)),
        from: Some(says.it("counter 1", 60)),
        prompt: None,
    };
    give(shop, complaint).await?;
    let accepted = FeedbackReview {
        ids: ids.iter().take(2).cloned().collect(),
        review: Review::Accept,
        by: READER.to_owned(),
        reason: None,
    };
    shop.operate(Operation::FeedbackReview(accepted)).await?;
    Ok(())
}

async fn give(shop: &Workshop, given: Given) -> Outcome<String> {
    let giver = Giver {
        token: String::new(),
        name: "local".to_owned(),
    };
    Ok(shop.give_feedback(given, &giver).await?.id)
}

/// Writes an answer into the book; its receipt.
async fn answered(shop: &Workshop, question: &str, answer: &str) -> Outcome<String> {
    let messages = json!([{"role": "user", "content": question}]);
    let prompt = String::from_utf8(canonical::to_bytes(&messages)?)?;
    let digest = Digest::of(b"a model");
    let opening = Opening {
        name: "customer-care".to_owned(),
        deployment: digest,
        model: digest,
        policy: digest,
        prompt: Digest::of(prompt.as_bytes()),
        accepts_restricted: false,
        relayed: false,
    };
    let book = shop.book();
    let opened = book.open(opening).await?;
    let receipt = opened.id.clone();
    let texts = Texts {
        prompt,
        answer: answer.to_owned(),
    };
    let draft = ReceiptDraft {
        opened,
        answer: Digest::of(answer.as_bytes()),
        ended: Ended::Stop,
        prompt_tokens: 31,
        answer_tokens: 4,
        spans: Vec::new(),
        shingles: Vec::new(),
        relayed: None,
        texts: Some(texts),
    };
    book.close(draft).await?;
    Ok(receipt)
}

async fn audit(shop: &Workshop, says: Says<'_>) -> Outcome<()> {
    let rows = [
        ("request", "person anna.berg", "POST /orders/new", "303"),
        ("operation", "person lin.mei", "person-roles", "done"),
        ("refused", "person anna.berg", "GET /people", "right-denied"),
        ("login", "", "log in", "login-wrong"),
    ];
    for (event, by, what, outcome) in rows.iter().cycle().take(AUDITED) {
        let row = AuditRow::now(event, &says.it(by, 300), &says.it(what, 300), outcome);
        shop.people().record(row).await?;
    }
    Ok(())
}

fn tiny_pack() -> Outcome<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
    Ok(path.canonicalize()?)
}
