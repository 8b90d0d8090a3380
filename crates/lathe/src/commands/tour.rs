//! `lathe tour`: from an answer to its training sentences, and what happens when evidence breaks.
//!
//! It asks the served model, follows the answer to the records, and then works in a copy of the
//! home, which it removes, it flips one bit of the model and withdraws a record. Nothing is decided
//! here; every line shows what the workshop said.

use std::process::ExitCode;
use std::time::Instant;

use lathe_evidence::receipt::Part;
use lathe_workshop::rehearsal::Rehearsal;
use lathe_workshop::trace::{PassageView, RecordView, TraceView};
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{DeploymentView, Home};
use serde_json::{Value, json};

use super::{Globals, log_to_stderr, runtime};
use crate::client::Client;
use crate::daemon::{self, Listen, Session};
use crate::fail::{Failure, Outcome};

/// Sentences shown.
const SENTENCES_MAX: usize = 3;
/// Questions tried until the records say the same as one; the examples kept of a deployment.
const QUESTIONS_MAX: usize = 5;
/// Longest answer, in tokens.
const ANSWER_TOKENS_MAX: u32 = 64;

/// Arguments of `lathe tour`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe tour
  lathe tour customer-care

What is broken is broken in a copy of the home, which is removed at the end.")]
pub struct Args {
    /// The deployment's name; the newest if absent.
    name: Option<String>,
}

/// Shows the tour of a home whose models answer.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    log_to_stderr();
    let home = globals.home()?;
    let runtime = runtime()?;
    match runtime.block_on(daemon::join_or_start(&home, &Listen::briefly()))? {
        Session::Theirs(url) => {
            show(
                &home,
                &Client::new(&url, None),
                &runtime,
                args.name.as_deref(),
            )?;
        }
        Session::Mine(daemon) => {
            {
                let _inside = runtime.enter();
                daemon.workshop.start();
            }
            let client = Client::new(&daemon.url, None);
            let shown = wait_for_models(&client)
                .and_then(|()| show(&home, &client, &runtime, args.name.as_deref()));
            runtime.block_on(daemon.stop());
            shown?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the deployments of a daemon that just started answer.
fn wait_for_models(client: &Client) -> Result<(), Failure> {
    const WAIT_MAX_S: u64 = 120;
    let began = Instant::now();
    while client.deployments()?.is_empty() {
        if began.elapsed().as_secs() > WAIT_MAX_S {
            return Err(nothing_answers());
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Ok(())
}

fn nothing_answers() -> Failure {
    Failure::new(
        "not-found",
        "no model answers in this home",
        "run an order first: lathe run packs/customer-care",
    )
}

/// The tour, step by step.
pub fn show(
    home: &Home,
    client: &Client,
    runtime: &tokio::runtime::Runtime,
    name: Option<&str>,
) -> Result<(), Failure> {
    let mut all = client.deployments()?;
    all.sort_by_key(|it| std::cmp::Reverse(it.created_ms));
    let found = all
        .into_iter()
        .find(|it| name.is_none_or(|name| it.name == name));
    let model = found.ok_or_else(nothing_answers)?;
    println!();
    println!("{}", say("tour.title", &[("name", &model.name)]));
    let (question, answer, trace) = ask(client, &model)?;
    println!();
    println!("{}", say("tour.ask", &[]));
    println!("   {} {question}", say("cli.question", &[]));
    println!("   {} {answer}", say("cli.answer", &[]));
    tell_trace(&trace);
    println!(
        "   {}",
        say(
            "tour.page",
            &[(
                "url",
                &client.address(&format!("/receipts/{}", trace.receipt.id))
            )]
        )
    );
    let leaf = sentences(&trace).first().map(|(record, _)| record.leaf);
    runtime.block_on(rehearse(home, &model.name, leaf))
}

/// Asks the examples until one shares a passage with a record; the last one in any case.
fn ask(client: &Client, model: &DeploymentView) -> Result<(String, String, TraceView), Failure> {
    let mut last = None;
    for question in model.examples.iter().take(QUESTIONS_MAX) {
        let mut messages = Vec::new();
        messages.extend(
            model
                .system
                .as_ref()
                .map(|it| json!({"role": "system", "content": it})),
        );
        messages.push(json!({"role": "user", "content": question}));
        let answer = client.complete(&json!({
            "model": model.name,
            "messages": messages,
            "temperature": 0,
            "max_tokens": ANSWER_TOKENS_MAX,
        }))?;
        let part = |pointer: &str| {
            let found = answer.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let trace = client.trace(&part("/lathe/receipt"))?;
        let in_question = trace.passages.iter().any(|it| it.part == Part::Prompt);
        last = Some((question.clone(), part("/choices/0/message/content"), trace));
        if in_question {
            break;
        }
    }
    last.ok_or_else(nothing_answers)
}

/// The chain in a few lines, and the sentences.
fn tell_trace(trace: &TraceView) {
    println!();
    println!("{}", say("tour.trace", &[("receipt", &trace.receipt.id)]));
    let chain = &trace.chain;
    if let Some(it) = &chain.registration {
        let approver = chain.approval.as_ref().map_or("", |it| it.by());
        let mark = if chain.self_approved {
            say("tour.self", &[])
        } else {
            String::new()
        };
        let arguments = [
            ("number", it.said.number.as_str()),
            ("by", approver),
            ("self", &mark),
        ];
        println!("   {}", say("tour.registered", &arguments));
    }
    for it in &chain.datasets {
        let train = it.said.train.to_string();
        let arguments = [
            ("name", it.said.name.as_str()),
            ("records", &train),
            ("licence", &it.said.licence),
            ("owner", &it.said.owner),
        ];
        println!("   {}", say("tour.data", &arguments));
    }
    if trace.passages.is_empty() {
        println!("   {}", say("tour.none", &[]));
    }
    let mut said = "";
    for (record, passage) in sentences(trace).into_iter().take(SENTENCES_MAX) {
        if passage.text != said {
            println!("   “{}”", passage.text);
            said = &passage.text;
        }
        println!("     {}  {}  {}", record.id, record.prompt, record.answer);
    }
}

/// The records that say the same, each with its longest passage; those of the question first.
fn sentences(trace: &TraceView) -> Vec<(&RecordView, &PassageView)> {
    let mut passages: Vec<&PassageView> = trace.passages.iter().collect();
    passages.sort_by_key(|it| it.part);
    let mut shown: Vec<(&RecordView, &PassageView)> = Vec::new();
    for passage in passages {
        for record in trace
            .records
            .iter()
            .filter(|it| passage.leaves.contains(&it.leaf))
        {
            if shown.iter().all(|(known, _)| known.leaf != record.leaf) {
                shown.push((record, passage));
            }
        }
    }
    shown
}

/// Breaks things in a copy of the home.
async fn rehearse(
    home: &Home,
    name: &str,
    leaf: Option<lathe_evidence::Digest>,
) -> Result<(), Failure> {
    let copy = Rehearsal::of(home).await?;
    let shop = copy.open().await?;
    let (file, refused) = copy.flip(&shop, name).await?;
    println!();
    println!(
        "{}",
        say("tour.flip", &[("file", &file.display().to_string())])
    );
    println!("   {}", copy.without_place(&refused.text));
    if let Some(leaf) = leaf {
        println!();
        println!("{}", say("tour.withdraw", &[]));
        let reason = say("tour.reason", &[]);
        let restricted = copy.withdraw(&shop, name, leaf, &reason).await?;
        println!("   {}", restricted.heard);
        println!(
            "   {}",
            say("tour.again", &[("command", &restricted.again)])
        );
        let command = format!("lathe withdraw {leaf} --reason \"…\"");
        println!("   {}", say("tour.real", &[("command", &command)]));
    }
    shop.stop().await;
    println!();
    println!("{}", say("tour.end", &[]));
    Ok(())
}

fn say(key: &str, arguments: &[(&str, &str)]) -> String {
    words::get(Lang::from_env(), key, arguments)
}
