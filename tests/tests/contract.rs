//! What users expect of a server, and what users of other servers suffered from, row by row: each names the
//! tests that hold it, so that one that is renamed or removed is missed. What is expected elsewhere and is
//! not built here stands in a list of its own.

use std::collections::BTreeSet;
use std::fs;

use lathe_tests::root;

/// A row: what is expected, and the tests that hold it as `file test`.
type Row = (&'static str, &'static [&'static str]);

/// What is expected.
const CONTRACT: [Row; 26] = [
    (
        "/v1/models",
        &[
            "crates/serve/src/tests/models.rs lists_what_is_open_and_what_it_was_measured_with",
            "crates/serve/src/tests/keys.rs a_key_for_other_models_neither_asks_nor_sees_this_one",
        ],
    ),
    (
        "/v1/chat/completions",
        &[
            "crates/serve/src/tests/answers.rs has_the_shape_that_clients_expect",
            "tests/tests/order.rs the_openai_package_talks_to_the_server",
        ],
    ),
    (
        "/v1/completions",
        &[
            "crates/serve/src/tests/completions.rs a_prompt_s_log_probabilities_are_those_of_transformers",
            "crates/serve/src/tests/completions.rs a_token_that_begins_every_text_is_added_to_texts_and_not_to_tokens",
            "crates/serve/src/tests/completions.rs lm_evaluation_harness_reads_what_it_needs",
        ],
    ),
    (
        "/v1/embeddings",
        &[
            "crates/serve/src/tests/embeddings.rs a_vector_points_along_the_mean_of_the_last_states",
            "crates/serve/src/scheduler/embedding.rs who_embeds_much_lets_others_have_their_turn",
            "crates/serve/src/scheduler/embedding.rs a_step_reads_no_more_texts_than_there_is_memory_for",
        ],
    ),
    (
        "server-sent events with pings",
        &["crates/serve/src/tests/streams.rs a_silent_stream_says_that_it_is_alive"],
    ),
    (
        "a final usage chunk",
        &["crates/serve/src/tests/streams.rs usage_stands_where_it_was_asked_for"],
    ),
    (
        "tool-call deltas keyed by index",
        &[
            "crates/serve/src/tests/tools.rs calls_are_told_in_openais_members_whole_and_in_pieces",
            "crates/serve/src/api/calls.rs every_cut_of_an_answer_gives_the_same_calls_and_text",
        ],
    ),
    (
        "a call that has to be one",
        &["crates/serve/src/tests/tools.rs a_forced_call_is_a_call_that_the_tools_schema_accepts"],
    ),
    (
        "speculation by prompt lookup",
        &[
            "crates/serve/src/scheduler/tests.rs what_is_guessed_changes_nothing_but_the_number_of_steps",
            "crates/serve/src/scheduler/guesses.rs what_followed_last_is_guessed_to_follow_again",
        ],
    ),
    (
        "response_format json_schema",
        &[
            "crates/serve/src/tests/grammars.rs an_answer_under_a_schema_satisfies_it",
            "crates/serve/src/grammar/bounds.rs what_is_within_the_bounds_passes_and_the_next_is_named",
        ],
    ),
    (
        "logprobs",
        &[
            "crates/serve/src/tests/choices.rs log_probabilities_are_told_for_every_token_and_change_no_answer",
            "crates/serve/src/tests/completions.rs scores_are_the_same_bits_alone_and_in_company",
        ],
    ),
    (
        "LoRA chosen through the model field",
        &["crates/serve/src/tests/tuned.rs the_name_chooses_the_adapter_in_a_mixed_batch"],
    ),
    (
        "continuous batching",
        &[
            "crates/serve/src/tests/batching.rs concurrent_answers_equal_single_ones",
            "crates/serve/src/tests/batching.rs a_long_prompt_does_not_stall_a_running_answer",
        ],
    ),
    (
        "prefix cache",
        &[
            "crates/serve/src/tests/prefixes.rs a_shared_system_prompt_is_computed_once",
            "crates/serve/src/scheduler/tests.rs a_beginning_that_many_share_is_computed_once_though_they_come_at_once",
        ],
    ),
    (
        "hashed and scoped keys",
        &[
            "crates/web/src/access.rs once_a_key_was_issued_each_path_asks_for_its_scope",
            "crates/workshop/src/token/ring.rs a_key_is_found_by_itself_and_by_nothing_near_it",
            "tests/tests/operations.rs from_the_first_key_on_every_request_presents_one",
        ],
    ),
    (
        "limits on requests",
        &["crates/serve/src/tests/keys.rs requests_a_minute_are_held_and_said_as_openai_says_it"],
    ),
    (
        "limits on tokens",
        &[
            "crates/serve/src/tests/keys.rs what_is_charged_is_what_the_usage_says",
            "crates/workshop/src/token/meter.rs no_more_is_used_over_time_than_is_allowed",
        ],
    ),
    (
        "a disconnect aborts generation",
        &[
            "crates/serve/src/tests/disconnects.rs a_dropped_stream_frees_its_slot_long_before_its_end",
            "crates/serve/src/tests/disconnects.rs a_thousand_that_vanish_mid_stream_are_not_answered_to_the_end",
        ],
    ),
    (
        "SIGTERM: readiness 503, drain, abort at a deadline",
        &[
            "tests/tests/operations.rs sigterm_drains_to_a_deadline_and_loses_no_receipt",
            "crates/serve/src/tests/draining.rs leaving_is_said_before_anything_is_refused",
        ],
    ),
    (
        "an over-long prompt is a 400",
        &[
            "crates/serve/src/tests/refusals.rs what_does_not_fit_the_context_is_refused_and_never_cut",
        ],
    ),
    (
        "readiness runs a real one-token decode",
        &["crates/serve/src/tests/health.rs starts_then_decodes_on_every_model"],
    ),
    (
        "figures with the meaning that the inference gateway expects",
        &[
            "crates/serve/src/tests/figures.rs what_runs_and_what_waits_is_told_apart_and_ends_even",
            "crates/serve/src/tests/figures.rs the_adapters_that_are_loaded_are_named_for_a_gateway",
        ],
    ),
    (
        "a description that other people's programs hold the server against",
        &[
            "crates/web/tests/web/openapi.rs every_route_is_described_and_every_description_answers",
            "crates/serve/src/tests/openapi.rs what_is_answered_is_what_is_described",
            "tests/tests/described.rs schemathesis_finds_no_answer_that_is_not_described",
        ],
    ),
    (
        "kill -9 loses no receipt of a finished answer and no order",
        &[
            "tests/tests/killed_receipts.rs kill_9_loses_no_receipt_of_any_way_of_asking_and_no_order",
            "tests/tests/killed_receipts.rs kill_9_under_load_loses_no_receipt_of_a_finished_answer",
        ],
    ),
    (
        "what callers say of an answer is tied to its receipt, learnt, and a signal of the breaker",
        &[
            "crates/serve/src/tests/feedback.rs a_correction_brings_the_question_that_its_receipt_is_of",
            "tests/tests/feedback.rs corrections_are_reviewed_made_a_dataset_and_learnt_behind_the_same_gate",
            "tests/tests/feedback.rs complaints_restrict_then_open_the_breaker_and_closing_begins_anew",
        ],
    ),
    (
        "requests that nobody means neither crash nor hang it",
        &[
            "crates/serve/src/tests/fuzzed.rs bodies_that_are_changed_anywhere_are_answered_or_refused",
            "crates/serve/src/tests/fuzzed.rs schemas_expressions_and_grammars_made_up_neither_hang_nor_crash_it",
            "crates/serve/src/tests/grammar_bombs.rs bombs_are_refused_or_bounded_and_the_server_goes_on",
        ],
    ),
];

/// What users of other servers suffered from; the tests are named after it.
const PAINS: [Row; 6] = [
    (
        "health says 200 while the engine is dead (vLLM #39863, #42363)",
        &["crates/serve/src/tests/pains.rs health_is_not_200_while_the_engine_is_dead"],
    ),
    (
        "generation after a disconnect (vLLM #54947)",
        &["crates/serve/src/tests/pains.rs nothing_is_generated_after_a_disconnect"],
    ),
    (
        "silent truncation (Ollama)",
        &["crates/serve/src/tests/pains.rs a_prompt_that_is_too_long_is_400_and_never_cut"],
    ),
    (
        "tool calls become text (llama.cpp #28261)",
        &["crates/serve/src/tests/pains.rs a_call_of_a_tool_is_never_told_as_text"],
    ),
    (
        "memory that creeps, places that leak (SGLang #20010, #6914)",
        &["crates/serve/src/tests/pains.rs nothing_is_held_for_requests_that_are_gone"],
    ),
    (
        "shutdown that cuts or hangs",
        &[
            "crates/serve/src/tests/pains.rs shutting_down_neither_cuts_an_answer_nor_waits_for_ever",
        ],
    ),
];

/// What is expected elsewhere and refused here by its name, with what holds the refusal.
const REFUSED: [Row; 1] = [(
    "/v1/responses",
    &["crates/serve/src/tests/refusals.rs paths_and_methods"],
)];

/// The names of the tests in a file.
fn tests_of(file: &str) -> BTreeSet<String> {
    let source =
        fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declared = lines
        .windows(2)
        .filter(|pair| pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test"));
    let names = declared.filter_map(|pair| {
        let declared = pair[1].trim_start_matches("async ").strip_prefix("fn ")?;
        Some(declared.split_once('(')?.0.to_owned())
    });
    names.collect()
}

#[test]
fn every_row_of_the_contract_and_every_pain_has_its_tests() {
    let mut lost = Vec::new();
    for (row, tests) in CONTRACT.iter().chain(&PAINS).chain(&REFUSED) {
        assert!(!tests.is_empty(), "{row}");
        for named in *tests {
            let (file, test) = named.split_once(' ').expect("a file and a test");
            if !tests_of(file).contains(test) {
                lost.push(format!("{row}: {named}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
