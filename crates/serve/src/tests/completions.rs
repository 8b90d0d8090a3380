//! `/v1/completions`: the model goes on with the caller's text; prompts are echoed and scored.

use std::path::Path;

use futures_util::future::join_all;
use lathe_engine::{GenerateSpec, LoadOptions, Model, generate_greedy};
use lathe_evidence::Digest;
use lathe_evidence::receipt::Ended;
use lathe_kernel::Pool;
use lathe_workshop::Door as _;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::caller::{Reply, Stream, ask, completion, open_door, post, question, until_free};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

const PATH: &str = "/v1/completions";

async fn complete(door: &Door, prompt: Value, extra: Value) -> Reply {
    let reply = post(door, PATH, completion(prompt, extra)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply
}

fn texts(reply: &Reply) -> Vec<&str> {
    let choices = reply.body["choices"].as_array().expect("choices");
    let texts = choices.iter().enumerate().map(|(index, choice)| {
        assert_eq!(choice["index"], index);
        choice["text"].as_str().expect("a text")
    });
    texts.collect()
}

fn model() -> Model {
    Model::load(&tiny_model(), LoadOptions::default()).expect("the tiny model loads")
}

#[tokio::test]
async fn the_model_goes_on_with_the_text_and_no_template_is_around_it() {
    let (door, model) = (open_door(Limits::default()).await, model());
    let pool = Pool::new(1);
    for text in ["The camera is great and", "坏了 🔋"] {
        let prompt = model.tokenizer.encode(text);
        let spec = GenerateSpec {
            tokens_max: 16,
            stop: model.config.eos.clone(),
            batch_max: 1,
        };
        let prompts = [prompt.clone()];
        let answer = generate_greedy(&model, &pool, None, &prompts, &spec, &mut |_| {}).remove(0);
        let expected = model.tokenizer.decode(&answer, true);
        // Sixteen tokens are OpenAI's default, too.
        for prompt in [json!(text), json!(prompt), json!([text])] {
            let reply = complete(&door, prompt, json!({})).await;
            assert_eq!(texts(&reply), [expected.as_str()]);
            assert_eq!(reply.body["usage"]["prompt_tokens"], prompts[0].len());
        }
        let reply = complete(&door, json!(text), json!({"echo": true})).await;
        assert_eq!(texts(&reply), [format!("{text}{expected}")]);
        assert_eq!(reply.body["object"], "text_completion");
        assert!(reply.body["choices"][0]["logprobs"].is_null());
    }
}

#[tokio::test]
async fn several_prompts_are_answered_in_their_order_as_each_alone() {
    let door = open_door(Limits::default()).await;
    let prompts = ["It broke.", "The zoom is", "ok 好"];
    let extra = json!({"max_tokens": 9, "temperature": 1.1, "seed": 3, "logprobs": 2});
    let together = complete(&door, json!(prompts), extra.clone()).await;
    let mut prompt_tokens = 0;
    for (index, prompt) in prompts.iter().enumerate() {
        let alone = complete(&door, json!(prompt), extra.clone()).await;
        let (mine, other) = (&alone.body["choices"][0], &together.body["choices"][index]);
        assert_eq!(
            (&mine["text"], &mine["logprobs"]),
            (&other["text"], &other["logprobs"])
        );
        prompt_tokens += alone.body["usage"]["prompt_tokens"]
            .as_u64()
            .expect("a count");
    }
    assert_eq!(together.body["usage"]["prompt_tokens"], prompt_tokens);
}

/// The vectors of `tests/reference/make_engine_vectors.py`.
fn reference() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference/engine-vectors.safetensors");
    std::fs::read(path).expect("the vectors are committed")
}

/// The four-byte numbers of one of them.
fn words<T>(file: &[u8], name: &str, read: fn([u8; 4]) -> T) -> Vec<T> {
    let tensors = SafeTensors::deserialize(file).expect("the vectors are sound");
    let tensor = tensors.tensor(name).expect("it is there");
    let words = tensor.data().chunks_exact(4);
    words
        .map(|word| read(word.try_into().expect("four bytes")))
        .collect()
}

#[tokio::test]
async fn a_prompt_s_log_probabilities_are_those_of_transformers() {
    let (door, file) = (open_door(Limits::default()).await, reference());
    let tokens = words(&file, "alone", u32::from_le_bytes);
    let targets = words(&file, "targets.alone", u32::from_le_bytes);
    let (rows, nexts) = targets.split_at(targets.len() / 2);
    let logits = words(&file, "base_logits.alone", f32::from_le_bytes);
    let extra = json!({"echo": true, "logprobs": 1, "max_tokens": 0});
    let reply = complete(&door, json!(tokens), extra).await;
    let found = &reply.body["choices"][0]["logprobs"]["token_logprobs"];
    let vocab = logits.len() / rows.len();
    for ((row, next), logits) in rows.iter().zip(nexts).zip(logits.chunks_exact(vocab)) {
        let sum: f64 = logits.iter().map(|it| f64::from(*it).exp()).sum();
        let expected = f64::from(logits[*next as usize]) - sum.ln();
        let found = found[*row as usize + 1].as_f64().expect("a number");
        // Weights and caches are bfloat16 here and float32 there.
        assert!(
            (found - expected).abs() < 0.05,
            "row {row}: {found}, not {expected}"
        );
    }
    assert!(rows.len() > 5);
}

/// What `local-completions` of lm-evaluation-harness makes of an answer: the log-probability of what
/// follows the first `context` tokens, short of the one token that was generated, and whether all of
/// it is what the model would say.
fn as_lm_eval_reads(choice: &Value, context: usize) -> (f64, bool) {
    let scores = &choice["logprobs"];
    let of = |name: &str| scores[name].as_array().expect("a list");
    let (own, likeliest) = (of("token_logprobs"), of("top_logprobs"));
    let range = context..own.len() - 1;
    let own: Vec<f64> = own[range.clone()]
        .iter()
        .map(|it| it.as_f64().expect("one"))
        .collect();
    let best = likeliest[range].iter().map(|names| {
        let names = names.as_object().expect("names");
        let values = names.values().map(|it| it.as_f64().expect("one"));
        values.fold(f64::NEG_INFINITY, f64::max)
    });
    let greedy = own.iter().zip(best).all(|(own, best)| *own == best);
    (own.iter().sum(), greedy)
}

#[tokio::test]
async fn lm_evaluation_harness_reads_what_it_needs() {
    let (door, model) = (open_door(Limits::default()).await, model());
    let context = model.tokenizer.encode("The camera is great and");
    let greedy = generate_greedy(
        &model,
        &Pool::new(1),
        None,
        std::slice::from_ref(&context),
        &GenerateSpec {
            tokens_max: 6,
            stop: Vec::new(),
            batch_max: 1,
        },
        &mut |_| {},
    )
    .remove(0);
    let mut other = greedy.clone();
    other[5] = other[5] % 100 + 5;
    let prompts: Vec<Vec<u32>> = [&greedy, &other]
        .map(|rest| [&context[..], rest].concat())
        .to_vec();
    let extra = json!({
        "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true,
    });
    let reply = complete(&door, json!(prompts), extra.clone()).await;
    let choices = reply.body["choices"].as_array().expect("choices");
    let read: Vec<(f64, bool)> = choices
        .iter()
        .map(|it| as_lm_eval_reads(it, context.len()))
        .collect();
    assert!(read[0].1 && !read[1].1, "{read:?}");
    assert!(read[0].0 > read[1].0 && read[0].0 < 0.0, "{read:?}");
    for (choice, prompt) in choices.iter().zip(&prompts) {
        let scores = &choice["logprobs"];
        for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
            // The generated token has its entry even where it ends the answer.
            assert_eq!(
                scores[name].as_array().map(Vec::len),
                Some(prompt.len() + 1),
                "{name}"
            );
        }
        assert!(scores["token_logprobs"][0].is_null() && scores["top_logprobs"][0].is_null());
        let text = choice["text"].as_str().expect("a text");
        assert!(
            text.starts_with(&model.tokenizer.decode(prompt, false)),
            "{text}"
        );
    }
    // Without a generated token the prompt's scores are the same.
    let mut alone = extra;
    alone["max_tokens"] = json!(0);
    let scored = complete(&door, json!(prompts), alone).await;
    assert_eq!(scored.body["usage"]["completion_tokens"], 0);
    let alone = scored.body["choices"].as_array().expect("choices");
    for (choice, with_one) in alone.iter().zip(choices) {
        let of = |choice: &Value| {
            choice["logprobs"]["token_logprobs"]
                .as_array()
                .cloned()
                .expect("one")
        };
        let (scored, mut with_one) = (of(choice), of(with_one));
        with_one.pop();
        assert_eq!(scored, with_one);
        assert_eq!(choice["finish_reason"], "length");
    }
}

#[tokio::test]
async fn offsets_are_where_the_tokens_stand_in_the_text() {
    let door = open_door(Limits::default()).await;
    let extra = json!({"echo": true, "logprobs": 3, "max_tokens": 12, "ignore_eos": true});
    for prompt in ["The menu is not good.", "naïve 你好 👩‍🚀 end"] {
        let reply = complete(&door, json!(prompt), extra.clone()).await;
        let choice = &reply.body["choices"][0];
        let text: Vec<char> = choice["text"].as_str().expect("a text").chars().collect();
        let tokens = choice["logprobs"]["tokens"].as_array().expect("tokens");
        let offsets = choice["logprobs"]["text_offset"]
            .as_array()
            .expect("offsets");
        let offsets: Vec<usize> = offsets
            .iter()
            .map(|it| it.as_u64().expect("an offset") as usize)
            .collect();
        assert!(offsets.is_sorted() && offsets.iter().all(|offset| *offset <= text.len()));
        let given = prompt.chars().count();
        assert!(
            offsets.contains(&given),
            "the answer begins after the prompt"
        );
        let mut checked = 0;
        for (token, offset) in tokens
            .iter()
            .zip(offsets)
            .filter(|(_, offset)| *offset < given)
        {
            let token = token.as_str().expect("a token");
            // One that is no text by itself has the place of its character.
            if !token.starts_with("bytes:") {
                let token: Vec<char> = token.chars().collect();
                assert!(text[offset..].starts_with(&token), "{token:?} at {offset}");
                checked += 1;
            }
        }
        assert!(checked > 2, "{choice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_the_same_bits_alone_and_in_company() {
    let prompt = "The battery lasts a whole weekend, but the sound is poor. ".repeat(3);
    let extra = json!({"echo": true, "logprobs": 2, "max_tokens": 3});
    let door = open_door(Limits::default()).await;
    let alone = complete(&door, json!(prompt), extra.clone()).await;
    let expected = &alone.body["choices"][0]["logprobs"];
    for (slots_max, prefill_tokens_max) in [(1, 7), (16, 5), (16, 256)] {
        let door = open_door(Limits {
            slots_max,
            prefill_tokens_max,
            ..Limits::default()
        })
        .await;
        let others = ["It broke.", "Why?", prompt.as_str(), &prompt[5..]];
        let all = others.map(|prompt| complete(&door, json!(prompt), extra.clone()));
        let replies = join_all(all).await;
        let found = &replies[2].body["choices"][0]["logprobs"];
        assert_eq!(
            found, expected,
            "{slots_max} slots, {prefill_tokens_max} tokens a step"
        );
    }
}

#[tokio::test]
async fn a_stream_holds_what_a_whole_answer_does() {
    let door = open_door(Limits::default()).await;
    let prompts = json!(["The camera is", "坏了 🔋"]);
    for (echo, logprobs) in [(false, json!(null)), (true, json!(null)), (true, json!(2))] {
        let mut extra = json!({
            "max_tokens": 10, "n": 2, "temperature": 1.2, "seed": 9, "echo": echo,
            "logprobs": logprobs, "ignore_eos": true,
        });
        let whole = complete(&door, prompts.clone(), extra.clone()).await;
        extra["stream"] = json!(true);
        extra["stream_options"] = json!({"include_usage": true});
        let body = completion(prompts.clone(), extra);
        let chunks = Stream::begin_at(&door, PATH, body).await.chunks().await;
        let (usage, chunks) = chunks.split_last().expect("chunks");
        assert_eq!(usage["choices"], json!([]));
        let tokens = |body: &Value| body["usage"]["total_tokens"].clone();
        assert_eq!(tokens(usage), tokens(&whole.body));
        for (index, expected) in whole.body["choices"]
            .as_array()
            .expect("four")
            .iter()
            .enumerate()
        {
            let own: Vec<&Value> = chunks
                .iter()
                .map(|chunk| &chunk["choices"][0])
                .filter(|choice| choice["index"] == index)
                .collect();
            let text: String = own.iter().filter_map(|it| it["text"].as_str()).collect();
            assert_eq!(expected["text"], json!(text), "choice {index}, echo {echo}");
            let joined = |name: &str| -> Vec<Value> {
                let lists = own.iter().filter_map(|it| it["logprobs"][name].as_array());
                lists.flatten().cloned().collect()
            };
            if !logprobs.is_null() {
                for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
                    assert_eq!(
                        expected["logprobs"][name],
                        json!(joined(name)),
                        "{index} {name}"
                    );
                }
            }
            let ends: Vec<&&Value> = own
                .iter()
                .filter(|it| !it["finish_reason"].is_null())
                .collect();
            assert_eq!(ends.len(), 1);
            assert_eq!(ends[0]["finish_reason"], expected["finish_reason"]);
        }
    }
}

#[tokio::test]
async fn every_answer_has_its_receipt_and_so_has_a_text_that_is_only_scored() {
    let (book, door) = (book(), Door::with_limits(2, Limits::default()));
    let tiny = admitted("tiny", tiny_model(), None);
    door.open(tiny, book.clone()).await.expect("opens");
    let reply = complete(
        &door,
        json!(["It broke.", [20, 21, 22]]),
        json!({"max_tokens": 3}),
    )
    .await;
    let closed = book.closed();
    assert_eq!(closed.len(), 2);
    assert!(reply.body.get("lathe").is_none(), "each choice has its own");
    for (choice, text) in reply.body["choices"]
        .as_array()
        .expect("two")
        .iter()
        .zip(texts(&reply))
    {
        let id = &choice["lathe"]["receipt"];
        let receipt = closed.iter().map(|it| &it.0).find(|it| json!(it.id) == *id);
        let receipt = receipt.expect("it is in the book");
        assert_eq!(receipt.answer, Digest::of(text.as_bytes()));
    }
    let prompts: Vec<Digest> = closed.iter().map(|it| it.0.prompt).collect();
    let broke = r#"[{"content":"It broke.","role":"prompt"}]"#;
    assert!(prompts.contains(&Digest::of(broke.as_bytes())));
    assert_eq!(
        reply.headers["x-lathe-receipt"],
        reply.body["choices"][0]["lathe"]["receipt"]
            .as_str()
            .expect("an id")
    );

    let scored = json!({"max_tokens": 0, "echo": true, "logprobs": 0});
    let reply = complete(&door, json!("It broke."), scored).await;
    let (receipt, _) = book.closed().pop().expect("closed");
    assert_eq!(reply.body["lathe"]["receipt"], json!(receipt.id));
    assert_eq!(receipt.answer, Digest::of(b""));
    assert_eq!((receipt.ended, receipt.answer_tokens), (Ended::Length, 0));
}

#[tokio::test]
async fn what_cannot_be_read_or_held_is_refused_by_name() {
    let door = open_door(Limits {
        slots_max: 2,
        queue_requests_max: 2,
        ..Limits::default()
    })
    .await;
    let refused = |prompt: Value, extra: Value| {
        let door = door.clone();
        async move { post(&door, PATH, completion(prompt, extra)).await.refusal() }
    };
    let length = json!("context_length_exceeded");
    for (prompt, extra, param, code) in [
        (json!(""), json!({}), "prompt", json!(null)),
        (json!([]), json!({}), "prompt", json!(null)),
        (json!([9_999_999]), json!({}), "prompt", json!(null)),
        (
            json!("a"),
            json!({"logit_bias": {"9999999": 1}}),
            "logit_bias",
            json!(null),
        ),
        (
            json!("a"),
            json!({"suffix": "b"}),
            "suffix",
            json!("unsupported_parameter"),
        ),
        (json!(vec![5; 513]), json!({}), "prompt", length.clone()),
        (
            json!(vec![5; 513]),
            json!({"echo": true, "max_tokens": 0}),
            "prompt",
            length.clone(),
        ),
        (
            json!(vec![5; 510]),
            json!({"max_tokens": 3}),
            "prompt",
            length.clone(),
        ),
        // Five answers never have a place at once.
        (
            json!(["a", "b", "c", "d", "e"]),
            json!({}),
            "prompt",
            json!(null),
        ),
    ] {
        assert_eq!(refused(prompt, extra).await, (400, json!(param), code));
    }
    // A text may fill the context when nothing is to follow.
    let full = json!({"echo": true, "max_tokens": 0, "logprobs": 0});
    let reply = complete(&door, json!(vec![5; 512]), full).await;
    assert_eq!(reply.body["usage"]["prompt_tokens"], 512);
    until_free(&door, 4).await;
}

/// transformers, llama.cpp and vLLM put it there too: without it a Llama or a Gemma scores every text wrong.
#[tokio::test]
async fn a_token_that_begins_every_text_is_added_to_texts_and_not_to_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(tiny_model()).expect("the fixture is there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a file");
        std::fs::copy(&path, folder.path().join(name)).expect("the folder takes it");
    }
    let path = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).expect("reads");
    let mut tokenizer: Value = serde_json::from_str(&text).expect("JSON");
    let (first, id) = (
        tokenizer["added_tokens"][0]["content"].clone(),
        tokenizer["added_tokens"][0]["id"].clone(),
    );
    let name = first.as_str().expect("a name");
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]}},
    });
    std::fs::write(&path, tokenizer.to_string()).expect("the folder takes it");
    let door = open_door(Limits::default()).await;
    let begun = admitted("begun", folder.path().to_owned(), None);
    door.open(begun, book()).await.expect("opens");
    let tokens = model().tokenizer.encode("The camera");
    let begun: Vec<u64> = std::iter::once(id.as_u64().expect("an id"))
        .chain(tokens.iter().map(|token| u64::from(*token)))
        .collect();
    let extra =
        json!({"model": "begun", "echo": true, "logprobs": 1, "max_tokens": 3, "ignore_eos": true});
    let by_text = complete(&door, json!("The camera"), extra.clone()).await;
    let by_tokens = complete(&door, json!(begun), extra.clone()).await;
    let without = complete(&door, json!(tokens), extra).await;
    let used = |reply: &Reply| reply.body["usage"]["prompt_tokens"].as_u64();
    assert_eq!(used(&by_text), Some(begun.len() as u64), "{}", by_text.body);
    assert_eq!(used(&without), Some(tokens.len() as u64));
    let scores = |reply: &Reply| reply.body["choices"][0]["logprobs"]["token_logprobs"].clone();
    assert_eq!(scores(&by_text), scores(&by_tokens));
    // What is echoed is what was sent, and offsets are places in it.
    let choice = &by_text.body["choices"][0];
    let echoed = choice["text"].as_str().expect("a text");
    assert!(echoed.starts_with("The camera"), "{echoed}");
    let offsets = choice["logprobs"]["text_offset"]
        .as_array()
        .expect("a list");
    assert_eq!(offsets[..2], [json!(0), json!(0)]);
    assert_eq!(offsets[begun.len()], json!("The camera".len()));
    // A chat's template writes its own.
    let of = |name: &'static str| question("hello", json!({"model": name, "max_tokens": 1}));
    let (plain, chat) = tokio::join!(ask(&door, of("tiny")), ask(&door, of("begun")));
    assert_eq!(used(&plain), used(&chat));
}
