//! The server's figures for Prometheus.
//!
//! Names and meanings are those that the Kubernetes inference gateway's model server protocol
//! (gateway-api-inference-extension, docs/proposals/003-model-server-protocol) takes by default, which
//! are vLLM's: `vllm:num_requests_waiting`, `vllm:num_requests_running`, `vllm:kv_cache_usage_perc`,
//! `vllm:lora_requests_info`. A gateway and dashboards made for vLLM read them unchanged; the mapping
//! stands in docs/guide/operations.md. What vLLM has no name for begins with `lathe_`.
//!
//! Each door has a recorder of its own, so that nothing here is global. The exporter keeps samples of
//! histograms until somebody looks; with nobody looking they would fill the memory, so they are folded
//! into their buckets every [`SAMPLES_KEPT_MAX`] samples. Not here: who may read them (the guard).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::limits::Limits;
use crate::served::Served;

/// Samples after which those of histograms are folded into their buckets.
const SAMPLES_KEPT_MAX: u64 = 4096;

const WAITING: &str = "vllm:num_requests_waiting";
const RUNNING: &str = "vllm:num_requests_running";
const MODEL_WAITING: &str = "lathe_model_requests_waiting";
const MODEL_RUNNING: &str = "lathe_model_requests_running";
const ADAPTERS: &str = "vllm:lora_requests_info";
const CACHE_USE: &str = "vllm:kv_cache_usage_perc";
const FIRST_TOKEN: &str = "vllm:time_to_first_token_seconds";
const BETWEEN_TOKENS: &str = "vllm:inter_token_latency_seconds";
const WHOLE: &str = "vllm:e2e_request_latency_seconds";
const PROMPT_TOKENS: &str = "vllm:prompt_tokens_total";
const ANSWER_TOKENS: &str = "vllm:generation_tokens_total";
const PREFIX_QUERIES: &str = "vllm:prefix_cache_queries_total";
const PREFIX_HITS: &str = "vllm:prefix_cache_hits_total";
const GUESSED: &str = "vllm:spec_decode_num_draft_tokens_total";
const GUESSED_RIGHT: &str = "vllm:spec_decode_num_accepted_tokens_total";
const ENDED: &str = "vllm:request_success_total";
const ABORTED: &str = "lathe_requests_aborted_total";
const UP: &str = "lathe_upstream_up";
const HTTP: &str = "lathe_http_requests_total";

/// Upper bounds in seconds: a small model on a CPU makes a token in a millisecond, a long queue waits
/// for minutes.
const FIRST_TOKEN_S: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
const BETWEEN_TOKENS_S: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const WHOLE_S: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// What is counted at one door.
pub(crate) struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    by_model: Mutex<BTreeMap<String, Arc<ModelMeters>>>,
    /// Memory for keys and values that running requests hold, what several share counted in each.
    cache_bytes: AtomicUsize,
    cache_bytes_max: usize,
    slots_max: usize,
    samples: AtomicU64,
}

/// What is counted of one model.
pub(crate) struct ModelMeters {
    pub(crate) name: String,
    /// Whether an adapter makes it what it is.
    tuned: bool,
    pub(crate) waiting: AtomicUsize,
    pub(crate) running: AtomicUsize,
    prompt_tokens: Counter,
    answer_tokens: Counter,
    prefix_queries: Counter,
    prefix_hits: Counter,
    guessed: Counter,
    guessed_right: Counter,
    stopped: Counter,
    at_length: Counter,
    aborted: Counter,
    first_token: Histogram,
    between_tokens: Histogram,
    whole: Histogram,
}

impl Meters {
    /// Nothing counted yet.
    pub(crate) fn new(limits: &Limits) -> Meters {
        let recorder = recorder().expect("the bounds of the buckets are constant and not empty");
        with_local_recorder(&recorder, describe);
        Meters {
            handle: recorder.handle(),
            recorder,
            by_model: Mutex::default(),
            cache_bytes: AtomicUsize::new(0),
            cache_bytes_max: limits.cache_bytes_max,
            slots_max: limits.slots_max,
            samples: AtomicU64::new(0),
        }
    }

    /// The figures of a model, the same for all deployments that had its name.
    pub(crate) fn model(&self, served: &Served) -> Arc<ModelMeters> {
        self.named(&served.files().name, served.adapter().is_some())
    }

    /// The figures of whatever answers under a name; `tuned` where an adapter makes it what it is.
    pub(crate) fn named(&self, name: &str, tuned: bool) -> Arc<ModelMeters> {
        let mut by_model = self.models();
        if let Some(model) = by_model.get(name) {
            return model.clone();
        }
        let model = with_local_recorder(&self.recorder, || ModelMeters::new(name, tuned));
        let model = Arc::new(model);
        by_model.insert(name.to_owned(), model.clone());
        model
    }

    fn models(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<ModelMeters>>> {
        self.by_model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered with this status; `path` is the route, never what a caller wrote.
    pub(crate) fn answered(&self, method: &str, path: &str, status: u16) {
        let labels = [
            ("method", method.to_owned()),
            ("path", path.to_owned()),
            ("code", status.to_string()),
        ];
        with_local_recorder(&self.recorder, || counter!(HTTP, &labels).increment(1));
    }

    /// A running request holds memory for keys and values.
    pub(crate) fn hold(&self, bytes: usize) {
        self.cache_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It holds it no more.
    pub(crate) fn let_go(&self, bytes: usize) {
        self.cache_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A sample was taken; every so often all are folded into their buckets.
    pub(crate) fn sampled(&self) {
        if self.samples.fetch_add(1, Ordering::Relaxed) % SAMPLES_KEPT_MAX == SAMPLES_KEPT_MAX - 1 {
            self.handle.run_upkeep();
        }
    }

    /// All figures in Prometheus' text format; `adapters` are the names of tuned models that are open,
    /// `upstreams` the other servers that were looked at, each with whether it answers.
    pub(crate) fn text(&self, adapters: &[String], upstreams: &[(String, bool)]) -> String {
        let models: Vec<Arc<ModelMeters>> = self.models().values().cloned().collect();
        with_local_recorder(&self.recorder, || {
            let (mut waiting, mut running) = (0.0, 0.0);
            for model in &models {
                let name = || model.name.clone();
                let (waits, runs) = (count(&model.waiting), count(&model.running));
                gauge!(MODEL_WAITING, "model_name" => name()).set(waits);
                gauge!(MODEL_RUNNING, "model_name" => name()).set(runs);
                waiting += waits;
                running += runs;
            }
            // Without a label: a gateway takes one series, and means the whole server.
            gauge!(WAITING).set(waiting);
            gauge!(RUNNING).set(running);
            let share = count(&self.cache_bytes) / self.cache_bytes_max.max(1) as f64;
            gauge!(CACHE_USE).set(share.min(1.0));
        });
        let mut text = self.handle.render();
        text.push_str(&self.adapters(adapters, &models));
        text.push_str(&up(upstreams));
        text
    }

    /// Which adapters are loaded, ready to be asked, and which are waited for. Written by hand: its
    /// labels change with the requests, and a registry would keep each set of them for good.
    fn adapters(&self, loaded: &[String], models: &[Arc<ModelMeters>]) -> String {
        let waits = |model: &&Arc<ModelMeters>| model.tuned && count(&model.waiting) > 0.0;
        let waiting = models.iter().filter(waits);
        let waiting: Vec<String> = waiting.map(|model| escaped(&model.name)).collect();
        let loaded: Vec<String> = loaded.iter().map(|name| escaped(name)).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (slots_max, now) = (self.slots_max, now.map_or(0.0, |now| now.as_secs_f64()));
        let (loaded, waiting) = (loaded.join(","), waiting.join(","));
        format!(
            "# HELP {ADAPTERS} Adapters that are loaded, and those that are waited for; the value is \
             the time, seconds since 1970\n\
             # TYPE {ADAPTERS} gauge\n\
             {ADAPTERS}{{max_lora=\"{slots_max}\",running_lora_adapters=\"{loaded}\",\
             waiting_lora_adapters=\"{waiting}\"}} {now}\n"
        )
    }
}

/// Which upstreams answer. Written by hand too: one that was removed leaves no series behind.
fn up(upstreams: &[(String, bool)]) -> String {
    if upstreams.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "# HELP {UP} Whether an upstream answered when it was last looked at\n# TYPE {UP} gauge\n"
    );
    for (name, up) in upstreams {
        let (name, up) = (escaped(name), u8::from(*up));
        text.push_str(&format!("{UP}{{model_name=\"{name}\"}} {up}\n"));
    }
    text
}

/// A count as a gauge takes it.
fn count(of: &AtomicUsize) -> f64 {
    of.load(Ordering::Relaxed) as f64
}

/// A value of a label, as the text format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(full(FIRST_TOKEN), FIRST_TOKEN_S)?
        .set_buckets_for_metric(full(BETWEEN_TOKENS), BETWEEN_TOKENS_S)?
        .set_buckets_for_metric(full(WHOLE), WHOLE_S)?
        .build_recorder())
}

fn describe() {
    describe_gauge!(WAITING, "Requests that wait for a slot");
    describe_gauge!(RUNNING, "Requests that have a slot");
    describe_gauge!(MODEL_WAITING, "Requests of a model that wait for a slot");
    describe_gauge!(MODEL_RUNNING, "Requests of a model that have a slot");
    describe_gauge!(
        CACHE_USE,
        "Share of the memory for keys and values that running requests hold, what they share counted in each; 1 is all of it"
    );
    describe_histogram!(
        FIRST_TOKEN,
        "From a request's arrival in the queue to its first token"
    );
    describe_histogram!(
        BETWEEN_TOKENS,
        "From a token to the next of the same answer"
    );
    describe_histogram!(
        WHOLE,
        "From a request's arrival in the queue to its end, whatever that was"
    );
    describe_counter!(PROMPT_TOKENS, "Tokens of prompts that were read");
    describe_counter!(ANSWER_TOKENS, "Tokens of answers");
    describe_counter!(
        PREFIX_QUERIES,
        "Tokens of prompts that were looked for among what was read before"
    );
    describe_counter!(
        PREFIX_HITS,
        "Tokens of prompts that were found there and not computed again"
    );
    describe_counter!(
        GUESSED,
        "Tokens of answers that were guessed and computed ahead"
    );
    describe_counter!(GUESSED_RIGHT, "Those of them that were then chosen");
    describe_counter!(ENDED, "Answers that came to their end, by reason");
    describe_counter!(
        ABORTED,
        "Requests that ended otherwise: the caller hung up, the server went down, an answer broke"
    );
    describe_counter!(HTTP, "Requests by route and status");
}

impl ModelMeters {
    fn new(name: &str, tuned: bool) -> ModelMeters {
        let of = |metric: &'static str| counter!(metric, "model_name" => name.to_owned());
        let ended = |reason: &'static str| {
            let name = name.to_owned();
            counter!(ENDED, "model_name" => name, "finished_reason" => reason)
        };
        let times = |metric: &'static str| histogram!(metric, "model_name" => name.to_owned());
        ModelMeters {
            name: name.to_owned(),
            tuned,
            waiting: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            prompt_tokens: of(PROMPT_TOKENS),
            answer_tokens: of(ANSWER_TOKENS),
            prefix_queries: of(PREFIX_QUERIES),
            prefix_hits: of(PREFIX_HITS),
            guessed: of(GUESSED),
            guessed_right: of(GUESSED_RIGHT),
            stopped: ended("stop"),
            at_length: ended("length"),
            aborted: of(ABORTED),
            first_token: times(FIRST_TOKEN),
            between_tokens: times(BETWEEN_TOKENS),
            whole: times(WHOLE),
        }
    }

    /// A prompt has a slot; `cached` of its tokens were computed before.
    pub(crate) fn read(&self, tokens: usize, cached: usize) {
        self.prompt_tokens.increment(tokens as u64);
        self.prefix_queries.increment(tokens as u64);
        self.prefix_hits.increment(cached as u64);
    }

    /// So many tokens were guessed, and so many of them right.
    pub(crate) fn guessed(&self, tokens: usize, right: usize) {
        self.guessed.increment(tokens as u64);
        self.guessed_right.increment(right as u64);
    }

    /// Another server read a prompt of so many tokens, and made so many more than were counted.
    pub(crate) fn told(&self, prompt_tokens: usize, answer_tokens: usize) {
        self.prompt_tokens.increment(prompt_tokens as u64);
        self.answer_tokens.increment(answer_tokens as u64);
    }

    /// The first token came this long after the request.
    pub(crate) fn first_token(&self, after: Duration) {
        self.answer_tokens.increment(1);
        self.first_token.record(after.as_secs_f64());
    }

    /// A further token came this long after the one before.
    pub(crate) fn next_token(&self, after: Duration) {
        self.answer_tokens.increment(1);
        self.between_tokens.record(after.as_secs_f64());
    }

    /// A request ended for this reason, so long after it came.
    pub(crate) fn ended(&self, reason: &str, after: Duration) {
        self.whole.record(after.as_secs_f64());
        match reason {
            "stop" => self.stopped.increment(1),
            "length" => self.at_length.increment(1),
            _ => self.aborted.increment(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_cannot_break_out_of_a_label() {
        assert_eq!(escaped("a\"} 1\n\\"), "a\\\"} 1\\n\\\\");
    }

    #[test]
    fn samples_that_nobody_looks_at_are_folded_away() {
        let meters = Meters::new(&Limits::default());
        let model = with_local_recorder(&meters.recorder, || ModelMeters::new("m", true));
        // Several times as many as are kept; each of them counts in the end.
        let samples = 3 * SAMPLES_KEPT_MAX + 7;
        for _ in 0..samples {
            model.next_token(Duration::from_millis(3));
            meters.sampled();
        }
        let text = meters.text(&[], &[]);
        let line = format!("{BETWEEN_TOKENS}_count{{model_name=\"m\"}} {samples}");
        assert!(text.contains(&line), "{text}");
        let below = format!("{BETWEEN_TOKENS}_bucket{{model_name=\"m\",le=\"0.0025\"}} 0");
        let within = format!("{BETWEEN_TOKENS}_bucket{{model_name=\"m\",le=\"0.005\"}} {samples}");
        assert!(text.contains(&below) && text.contains(&within), "{text}");
    }
}
