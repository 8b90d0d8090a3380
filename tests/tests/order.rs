//! A whole order on the tiny packs: what `lathe run` prints, reuses, marks,
//! serves and leaves.

use lathe_tests::{Home, Serving, fixture, lines, text};
use serde_json::{Value, json};

const STEPS: [&str; 9] = [
    "model",
    "data",
    "prepare",
    "base",
    "challengers",
    "tune",
    "evaluate",
    "deploy",
    "ask",
];

fn states(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .filter_map(|line| Some((line["step"].as_str()?, line["state"].as_str()?)))
        .collect()
}

#[test]
fn an_object_per_step_and_finite_metrics_at_the_end() {
    let home = Home::new();
    let lines = home.finish(&fixture("tiny-pack"), &[]);
    assert_eq!(states(&lines), STEPS.map(|step| (step, "done")));
    let last = lines.last().expect("a last line");
    assert!(last["order"].is_string());
    for subject in ["base", "tuned", "challenger"] {
        for metric in ["pearson_r", "macro_f1", "valid_json"] {
            let value = &last["metrics"][subject][metric];
            assert!(
                value.as_f64().is_some_and(f64::is_finite),
                "{subject} {metric}: {last}"
            );
        }
    }
    // The file has 62 rows, of which make_tiny_packs.py made one a duplicate and one broken.
    let prepare = &lines[2]["figures"];
    assert_eq!(prepare["records"], json!(60));
    assert_eq!(
        (&prepare["duplicates"], &prepare["broken"]),
        (&json!(1), &json!(1))
    );
    let ask = &lines[8]["figures"];
    assert_eq!(ask["asked"], json!(2));
}

#[test]
fn files_of_somebody_else_are_copied_and_left_alone() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    for file in ["tiny-pack/feelings.tsv", "tiny-model/model.safetensors"] {
        let data = std::fs::metadata(fixture(file)).expect("a fixture");
        assert!(!data.permissions().readonly(), "{file}");
    }
}

#[test]
fn behind_keys_an_order_runs_and_strangers_are_refused() {
    let home = Home::new();
    let keys = home.path().join("callers");
    std::fs::write(&keys, "0123456789abcdef0123\n").expect("writes");
    let keys = keys.to_str().expect("a plain name");
    home.finish(&fixture("tiny-pack"), &["--key-file", keys]);
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0", "--key-file", keys]);
    let serving = Serving::start(&home, &mut command);
    let (status, _) = serving.post("/v1/chat/completions", &json!({}));
    assert_eq!(status, 401);
    let client = |key: &str| {
        let mut command = home.run(&fixture("tiny-pack"), &[]);
        command.env("LATHE_KEY", key).output().expect("starts")
    };
    let refused = client("a wrong key of some length");
    assert!(
        text(&refused.stderr).contains("key-required"),
        "{}",
        text(&refused.stderr)
    );
    assert!(client("0123456789abcdef0123").status.success());
}

#[test]
fn the_second_time_everything_is_reused_and_asked_anew() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let objects = home.names("objects");
    let lines = home.finish(&fixture("tiny-pack"), &["--offline"]);
    let reused = states(&lines)
        .into_iter()
        .filter(|(_, state)| *state == "reused");
    assert_eq!(reused.count(), 8, "{:?}", states(&lines));
    assert_eq!(states(&lines)[8], ("ask", "done"));
    assert_eq!(home.names("objects"), objects);
    assert_eq!(
        home.json(&["order", "list", "--json"])
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[test]
fn quick_marks_everything_a_demonstration() {
    let home = Home::new();
    let lines = home.finish(&fixture("tiny-pack"), &["--quick"]);
    assert!(lines[..9].iter().all(|line| line["demonstration"] == true));
    assert!(
        lines[2]["figures"]["records"]
            .as_u64()
            .is_some_and(|count| count <= 40)
    );
    let models = home.json(&["model", "list", "--json"]);
    let tuned = models.as_array().expect("a list").iter();
    let tuned: Vec<_> = tuned.filter(|model| model["kind"] == "tuned").collect();
    assert!(tuned.iter().all(|model| model["demonstration"] == true));
    let data = home.json(&["data", "list", "--json"]);
    assert_eq!(data[0]["demonstration"], true);
}

#[test]
fn a_second_pack_made_only_of_files_runs() {
    let home = Home::new();
    let lines = home.finish(&fixture("tiny-pack-classes"), &[]);
    let last = lines.last().expect("a last line");
    for subject in ["base", "tuned", "challenger"] {
        let value = &last["metrics"][subject]["macro_f1"];
        assert!(value.as_f64().is_some_and(f64::is_finite), "{last}");
    }
}

#[test]
fn conversations_are_measured_by_how_likely_held_out_answers_are() {
    let home = Home::new();
    let lines = home.finish(&fixture("tiny-pack-chat"), &[]);
    let prepared = &lines[2]["figures"];
    assert_eq!(prepared["records"], 40, "one stands twice: {prepared}");
    let last = lines.last().expect("a last line");
    let of = |subject: &str| {
        let value = &last["metrics"][subject]["answer_logprob"];
        value.as_f64().expect("a likelihood")
    };
    assert!(of("base") < of("tuned") && of("tuned") < 0.0, "{last}");
    let asked = home.newest_order();
    let steps = asked["steps"].as_array().expect("steps").iter();
    let ask = steps.last().expect("a last step");
    assert_eq!(ask["figures"]["valid"], 2, "it says something: {ask}");
}

#[test]
fn it_stays_up_and_answers_until_interrupted() {
    let home = Home::new();
    let pack = fixture("tiny-pack");
    let pack = pack.to_str().expect("a plain name");
    let mut command = home.lathe(&["run", pack, "--listen", "127.0.0.1:0"]);
    let mut serving = Serving::start(&home, &mut command);
    let curl = serving.wait_for_line("curl");
    assert!(
        curl.contains(&serving.url) && curl.contains("tiny-pack"),
        "{curl}"
    );
    let body = json!({
        "model": "tiny-pack",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 8,
    });
    let (status, answer) = serving.post("/v1/chat/completions", &body);
    assert_eq!(status, 200, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].is_string());

    // A second command is a client of the first, and another daemon is refused.
    let again = home
        .run(&fixture("tiny-pack"), &[])
        .output()
        .expect("starts");
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(states(&lines(&again.stdout)).len(), 9);
    let up = home.output(&["up", "--listen", "127.0.0.1:0"]);
    assert!(
        text(&up.stderr).contains("daemon-runs"),
        "{}",
        text(&up.stderr)
    );

    assert_eq!(serving.interrupt().code(), Some(0));
    assert_eq!(home.workers(), Vec::<u32>::new());
}

#[test]
fn up_serves_what_was_deployed() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(&home, &mut command);
    let body = json!({
        "model": "tiny-pack",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 4,
    });
    lathe_tests::wait_for("the deployment to be opened", || {
        let (status, _) = serving.post("/v1/chat/completions", &body);
        (status == 200).then_some(())
    });
    assert_eq!(serving.interrupt().code(), Some(0));
}

/// `cargo xtask ci` makes an environment with the pinned package and names its interpreter.
#[test]
fn the_openai_package_talks_to_the_server() {
    let Some(python) = std::env::var_os("LATHE_TEST_PYTHON") else {
        eprintln!(
            "not run: LATHE_TEST_PYTHON names no interpreter with openai; cargo xtask ci sets it"
        );
        return;
    };
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(&home, &mut command);
    lathe_tests::wait_for("the deployment to be opened", || {
        let body = json!({
            "model": "tiny-pack",
            "messages": [{ "role": "user", "content": "the camera is great" }],
            "max_tokens": 1,
        });
        (serving.post("/v1/chat/completions", &body).0 == 200).then_some(())
    });
    let output = std::process::Command::new(python)
        .arg(lathe_tests::root().join("tests/python/test_openai.py"))
        .env("LATHE_BASE_URL", format!("{}/v1", serving.url))
        .env("LATHE_MODEL", "tiny-pack")
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_model_whose_file_was_altered_is_not_served() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let weights = home
        .path()
        .join("objects")
        .join(home.adapter())
        .join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("reads");
    let last = bytes.last_mut().expect("not empty");
    *last ^= 1;
    std::fs::remove_file(&weights).expect("removes");
    std::fs::write(&weights, bytes).expect("writes");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(&home, &mut command);
    let order = home.newest_order();
    let id = order["id"].as_str().expect("an id").to_owned();
    let log = lathe_tests::wait_for("the refusal in the log", || {
        let log = text(&home.output(&["order", "log", &id]).stdout);
        log.contains("altered").then_some(log)
    });
    assert!(log.contains("the adapter"), "{log}");
    let body =
        json!({ "model": "tiny-pack", "messages": [{ "role": "user", "content": "hello" }] });
    let (status, answer) = serving.post("/v1/chat/completions", &body);
    assert_eq!(status, 404, "{answer}");
}
