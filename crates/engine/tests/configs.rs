//! Configs of models that are computed, and of those that are refused.

use lathe_engine::{Activation, Architecture, Config, EngineError, Window};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn read_json(name: &str) -> Value {
    let bytes = std::fs::read(tests_folder().join(name)).expect("the file is there");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn parse(config: &Value) -> Result<Config, EngineError> {
    Config::from_json(config.to_string().as_bytes())
}

/// The fixture's config with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Config, EngineError> {
    let mut config = read_json("fixtures/tiny-model/config.json");
    change(&mut config);
    parse(&config)
}

#[test]
fn the_fixtures_config_is_read() {
    let config = changed(|_| {}).expect("is read");
    let expected = Config {
        architecture: Architecture::Llama,
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        intermediate: 128,
        vocab: 416,
        rms_eps: 1e-5,
        activation: Activation::Silu,
        embedding_scale: 1.0,
        attention_scale: 0.25,
        rope_theta: 10_000.0,
        rope_divisors: Vec::new(),
        window: None,
        context: 512,
        tied_embeddings: true,
        bos: Some(1),
        eos: vec![2],
    };
    assert_eq!(config, expected);
}

/// The expected numbers come from `tests/reference/make_rope_vectors.py`.
#[test]
fn rotary_frequencies_are_those_of_transformers() {
    let cases = read_json("reference/rope-vectors.json");
    let cases = cases.as_array().expect("a list");
    assert_eq!(cases.len(), 10);
    for case in cases {
        let found = parse(&case["config"])
            .expect("is read")
            .inverse_frequencies();
        let expected = case["frequencies"].as_array().expect("a list");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let expected = expected.as_f64().expect("a number") as f32;
            let error = (found - expected).abs() / expected;
            assert!(error < 2e-6, "{}: {found} and {expected}", case["name"]);
        }
    }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let config = changed(|config| {
        for key in [
            "num_key_value_heads",
            "rope_theta",
            "tie_word_embeddings",
            "bos_token_id",
        ] {
            config.as_object_mut().expect("an object").remove(key);
        }
        config["eos_token_id"] = json!([2, 1]);
    });
    let config = config.expect("is read");
    assert_eq!(config.kv_heads, 4);
    assert_eq!(config.rope_theta, 10_000.0);
    assert!(!config.tied_embeddings);
    assert_eq!((config.bos, config.eos), (None, vec![2, 1]));
}

#[test]
fn qwen_2_is_read_with_its_window_switched_off() {
    let qwen2 = |change: fn(&mut Value)| {
        let mut config = read_json("fixtures/tiny-qwen2/config.json");
        change(&mut config);
        parse(&config)
    };
    let config = qwen2(|_| {}).expect("is read");
    assert_eq!(config.architecture, Architecture::Qwen2);
    assert_eq!((config.rope_theta, config.rms_eps), (1e6, 1e-6));
    assert!(!config.tied_embeddings);
    let unnamed = qwen2(|config| config["architectures"] = json!([])).expect("by model_type");
    assert_eq!(unnamed, config);
    let windowed: [fn(&mut Value); 2] = [
        |config| config["use_sliding_window"] = json!(true),
        |config| config["layer_types"] = json!(["full_attention", "sliding_attention"]),
    ];
    for change in windowed {
        let error = qwen2(change).expect_err("is refused").to_string();
        assert!(error.contains("\"sliding_window\""), "{error}");
    }
}

/// A change to a config.
type Change = fn(&mut Value);

#[test]
fn qwen_3_has_heads_of_their_own_width() {
    let qwen3 = |change: fn(&mut Value)| {
        let mut config = read_json("fixtures/tiny-qwen3/config.json");
        change(&mut config);
        parse(&config)
    };
    let config = qwen3(|_| {}).expect("is read");
    assert_eq!(config.architecture, Architecture::Qwen3);
    assert_eq!((config.hidden, config.heads, config.head_dim), (48, 4, 16));
    assert_eq!(config.attention_scale, 0.25);
    let silent = qwen3(|config| drop(config.as_object_mut().map(|it| it.remove("head_dim"))));
    assert_eq!(silent.expect("is read").head_dim, 128);
    let refused: [(Change, &str); 3] = [
        (
            |config| config["use_sliding_window"] = json!(true),
            "sliding_window",
        ),
        (|config| config["attention_bias"] = json!(true), "biases"),
        (
            |config| config["architectures"] = json!(["Qwen3MoeForCausalLM"]),
            "Qwen3Moe",
        ),
    ];
    for (change, name) in refused {
        let error = qwen3(change).expect_err("is refused").to_string();
        assert!(error.contains(name), "{error}");
    }
}

fn gemma3(change: impl FnOnce(&mut Value)) -> Result<Config, EngineError> {
    let mut config = read_json("fixtures/tiny-gemma3/config.json");
    change(&mut config);
    parse(&config)
}

#[test]
fn gemma_3_has_windows_in_some_layers() {
    let config = gemma3(|_| {}).expect("is read");
    assert_eq!(config.architecture, Architecture::Gemma3);
    assert_eq!(
        (config.activation, config.rope_theta),
        (Activation::GeluTanh, 1e6)
    );
    assert_eq!(config.embedding_scale, 48f32.sqrt());
    assert_eq!(config.attention_scale, (1.0 / 20f64.sqrt()) as f32);
    assert!(config.tied_embeddings, "unless a file says otherwise");
    let window = Window {
        positions: 6,
        rope_theta: 1e4,
        layers: vec![true, false, true],
    };
    assert_eq!(config.window, Some(window));
    let newer = gemma3(|config| {
        let keys = config.as_object_mut().expect("an object");
        for key in ["rope_theta", "rope_local_base_freq", "rope_scaling"] {
            keys.remove(key);
        }
        config["rope_parameters"] = json!({
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1_000_000.0},
        });
    });
    let newer = newer.expect("is read");
    assert_eq!((&newer.window, newer.rope_theta), (&config.window, 1e6));
    assert_eq!(newer.rope_divisors, [8.0; 8]);
    let silent = gemma3(|config| {
        config["layer_types"] = Value::Null;
        config["num_hidden_layers"] = json!(13);
    });
    let layers = silent.expect("is read").window.expect("a window").layers;
    let whole: Vec<_> = (0..13).filter(|&layer| !layers[layer]).collect();
    assert_eq!(whole, [5, 11], "every sixth layer");
}

#[test]
fn gemmas_variants_are_refused_by_name() {
    let refused: [(&str, Value, &str); 8] = [
        ("hidden_activation", json!("gelu"), "\"gelu\""),
        (
            "final_logit_softcapping",
            json!(30.0),
            "final_logit_softcapping",
        ),
        (
            "attn_logit_softcapping",
            json!(50.0),
            "attn_logit_softcapping",
        ),
        ("use_bidirectional_attention", json!(true), "bidirectional"),
        (
            "layer_types",
            json!(["chunked_attention"]),
            "chunked_attention",
        ),
        ("layer_types", json!(["full_attention"]), "of 1 layers"),
        ("sliding_window", json!(0), "window in tokens is 0"),
        ("query_pre_attn_scalar", json!(0), "factor of attention"),
    ];
    for (key, value, reason) in refused {
        let error = gemma3(|config| config[key] = value).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// What the models' own files hold, counted from their cards: 494 and 1,544 million, 596, 268.
#[test]
fn the_parameters_of_published_shapes_are_counted() {
    let published = |hidden: usize, layers: usize, heads: usize, inner: usize| {
        let mut config = read_json("fixtures/tiny-qwen2/config.json");
        for (key, value) in [
            ("hidden_size", hidden),
            ("num_hidden_layers", layers),
            ("num_attention_heads", heads),
            ("intermediate_size", inner),
            ("vocab_size", 151_936),
        ] {
            config[key] = json!(value);
        }
        config["tie_word_embeddings"] = json!(true);
        parse(&config).expect("is read").parameters()
    };
    assert_eq!(published(896, 24, 14, 4864), 494_032_768);
    assert_eq!(published(1536, 28, 12, 8960), 1_543_714_304);
    let mut qwen3 = read_json("fixtures/tiny-qwen3/config.json");
    for (key, value) in [
        ("hidden_size", 1024),
        ("num_hidden_layers", 28),
        ("num_attention_heads", 16),
        ("num_key_value_heads", 8),
        ("head_dim", 128),
        ("intermediate_size", 3072),
        ("vocab_size", 151_936),
    ] {
        qwen3[key] = json!(value);
    }
    assert_eq!(parse(&qwen3).expect("is read").parameters(), 596_049_920);
    let gemma3 = gemma3(|config| {
        for (key, value) in [
            ("hidden_size", 640),
            ("num_hidden_layers", 18),
            ("head_dim", 256),
            ("intermediate_size", 2048),
            ("vocab_size", 262_144),
        ] {
            config[key] = json!(value);
        }
        config["layer_types"] = Value::Null;
    });
    assert_eq!(gemma3.expect("is read").parameters(), 268_098_176);
}

#[test]
fn models_that_are_not_computed_are_refused_by_name() {
    let refused = |key: &str, value: Value, name: &str| {
        let error = changed(|config| config[key] = value).expect_err("is refused");
        assert_eq!(error.code(), "engine-unsupported", "{error}");
        assert!(error.to_string().contains(name), "{error}");
    };
    refused(
        "architectures",
        json!(["Gemma2ForCausalLM"]),
        "\"Gemma2ForCausalLM\"",
    );
    refused("attention_bias", json!(true), "\"biases\"");
    refused("mlp_bias", json!(true), "\"biases\"");
    refused("hidden_act", json!("gelu"), "\"gelu\"");
    refused(
        "rope_scaling",
        json!({"rope_type": "yarn", "factor": 2.0}),
        "\"yarn\"",
    );
    refused("partial_rotary_factor", json!(0.5), "\"0.5\"");
    refused(
        "quantization_config",
        json!({"bits": 4}),
        "quantization_config",
    );
}

#[test]
fn another_family_is_refused_by_name_even_where_its_keys_differ() {
    let error = parse(&json!({"model_type": "mamba", "d_model": 64})).expect_err("is refused");
    assert!(error.to_string().contains("\"mamba\""), "{error}");
}

#[test]
fn sizes_are_bounded_and_must_fit_each_other() {
    let refused = |key: &str, value: Value, reason: &str| {
        let error = changed(|config| config[key] = value).expect_err("is refused");
        assert!(error.to_string().contains(reason), "{error}");
    };
    refused("hidden_size", json!(0), "hidden size");
    refused("hidden_size", json!(1u64 << 40), "1099511627776");
    refused("num_hidden_layers", json!(u64::MAX), "layers");
    refused("num_attention_heads", json!(0), "0 heads");
    refused("num_key_value_heads", json!(3), "share 3 key-value heads");
    refused("num_key_value_heads", json!(0), "key-value heads is 0");
    refused("head_dim", json!(15), "odd width");
    refused("vocab_size", json!(1 << 30), "vocabulary");
    refused("max_position_embeddings", json!(0), "context");
    refused("rms_norm_eps", json!(-1.0), "epsilon");
    refused("rope_theta", json!(0.0), "rotary base");
    refused("eos_token_id", json!(416), "special token 416");
    refused("vocab_size", json!(-5), "config");
    refused(
        "rope_scaling",
        json!({"rope_type": "linear"}),
        "lacks factor",
    );
    refused(
        "rope_scaling",
        json!({"rope_type": "linear", "factor": 0.0}),
        "divisor",
    );
}
