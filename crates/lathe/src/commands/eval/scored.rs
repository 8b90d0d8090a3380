//! What a model was found to be worth on some records, with intervals, and set against another.
//!
//! Two models that answered the same records are compared on the same draws of them (the paired
//! bootstrap, [`lathe_eval::bootstrap`]): what is hard for both is no difference between them.

use lathe_eval::BootstrapSpec;
use lathe_eval::bootstrap::over_records;
use lathe_eval::choices::{self, Judged};
use lathe_tune::recipe::answer::Reading;
use serde_json::{Map, Value, json};

use super::super::held::Outcome;
use super::super::recipe_files::of_tune;
use super::{Answered, judged, pearson};
use crate::fail::Failure;

/// A metric of the records at some places.
type Measure<'a> = Box<dyn Fn(&[usize]) -> f64 + 'a>;

/// A model's answers, or what came of them.
pub enum Scored {
    /// Probabilities of labels, and how they are read.
    Choices(Box<Reading>, Vec<Answered>),
    /// The means of these, under a name.
    Records(&'static str, Vec<Outcome>),
}

impl Scored {
    /// How many records.
    fn len(&self) -> usize {
        match self {
            Scored::Choices(_, answers) => answers.len(),
            Scored::Records(_, outcomes) => outcomes.len(),
        }
    }

    /// One object of metrics, each with its 95 % interval.
    pub fn metrics(&self) -> Result<Value, Failure> {
        let mut metrics = json!({ "records": self.len() });
        for (name, measure) in self.measures()? {
            let (value, interval) = with_interval(self.len(), &measure);
            metrics[name] = json!(value);
            metrics[format!("{name}_interval")] = interval;
        }
        match self {
            Scored::Records("eval_loss", _) => {
                let loss = metrics["eval_loss"].as_f64().unwrap_or(f64::NAN);
                metrics["perplexity"] = json!(loss.exp());
            }
            Scored::Records(..) => {}
            Scored::Choices(reading, answers) => {
                if let Some(assured) = reading.assured {
                    let (share, accuracy) =
                        choices::answered(&judged(answers), assured.probability);
                    metrics["answered_share"] = json!(share);
                    metrics["answered_accuracy"] = json!(accuracy);
                }
            }
        }
        Ok(metrics)
    }

    /// How much larger each metric is than `other`'s on the same records, with its 95 % interval, and
    /// whether that is beyond chance: the interval does not hold 0.
    ///
    /// # Errors
    /// `eval-against` for a model that was scored in another way.
    pub fn against(&self, other: &Scored) -> Result<Value, Failure> {
        let (ours, theirs) = (self.measures()?, other.measures()?);
        let names = |of: &[(&'static str, Measure<'_>)]| -> Vec<&str> {
            of.iter().map(|(name, _)| *name).collect()
        };
        if self.len() != other.len() || names(&ours) != names(&theirs) {
            return Err(Failure::new(
                "eval-against",
                format!(
                    "the two models were scored differently: {} of {} records and {} of {}",
                    names(&ours).join(", "),
                    self.len(),
                    names(&theirs).join(", "),
                    other.len()
                ),
                "compare folders that were tuned by the same recipe",
            ));
        }
        let mut found = Map::new();
        for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            let (value, interval) = with_interval(self.len(), &|at| ours(at) - theirs(at));
            let end = |at: usize| interval[at].as_f64().unwrap_or(f64::NAN);
            let all: Vec<usize> = (0..self.len()).collect();
            found.insert(
                (*name).to_owned(),
                json!({
                    "other": theirs(&all),
                    "difference": value,
                    "difference_interval": interval,
                    "beyond_chance": end(0) > 0.0 || end(1) < 0.0,
                }),
            );
        }
        Ok(Value::Object(found))
    }

    fn measures(&self) -> Result<Vec<(&'static str, Measure<'_>)>, Failure> {
        match self {
            Scored::Choices(reading, answers) => of_choices(reading, answers),
            Scored::Records(name, outcomes) => {
                let mean = |at: &[usize]| {
                    let drawn = at.iter().map(|&at| outcomes[at]);
                    Outcome::mean(drawn)
                };
                Ok(vec![(*name, Box::new(mean))])
            }
        }
    }
}

fn of_choices<'a>(
    reading: &'a Reading,
    answers: &'a [Answered],
) -> Result<Vec<(&'static str, Measure<'a>)>, Failure> {
    if let Some(grid) = reading.grid().map_err(of_tune)? {
        let r = move |at: &[usize]| pearson(at.iter().map(|&at| &answers[at]), &grid);
        return Ok(vec![("pearson_r", Box::new(r))]);
    }
    let judged = judged(answers);
    let drawn =
        move |at: &[usize]| -> Vec<Judged<'_>> { at.iter().map(|&at| judged[at]).collect() };
    let labels = reading.choices.labels.len();
    let again = drawn.clone();
    let f1 = move |at: &[usize]| match &reading.thresholds {
        Some(thresholds) => choices::multiple_macro_f1(&again(at), thresholds),
        None => choices::single_macro_f1(&again(at), labels),
    };
    Ok(vec![
        (
            "accuracy",
            Box::new(move |at| choices::accuracy(&drawn(at))),
        ),
        ("macro_f1", Box::new(f1)),
    ])
}

/// A measure of all records, and the two ends of its interval.
fn with_interval(records: usize, measure: &dyn Fn(&[usize]) -> f64) -> (f64, Value) {
    let all: Vec<usize> = (0..records).collect();
    let value = measure(&all);
    let interval = over_records(records, BootstrapSpec::default(), value, measure);
    (value, json!([interval.low, interval.high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(right: impl Fn(usize) -> bool) -> Scored {
        let outcome = |at| Outcome::hit(right(at));
        Scored::Records("accuracy", (0..400).map(outcome).collect())
    }

    #[test]
    fn a_difference_is_told_on_the_same_records() {
        // Each is right on half; b on twenty more than a, all else alike.
        let (a, b) = (
            hits(|at| at % 2 == 0),
            hits(|at| at % 2 == 0 || at % 20 == 1),
        );
        let found = b.against(&a).expect("comparable");
        let found = &found["accuracy"];
        let difference = found["difference"].as_f64().expect("a number");
        assert!((difference - 0.05).abs() < 1e-12, "{difference}");
        assert_eq!(found["other"], 0.5);
        let low = found["difference_interval"][0].as_f64().expect("a number");
        // Apart, either is known to within 0.05; together the difference is to within 0.022.
        assert!((0.025..0.035).contains(&low), "{low}");
        assert_eq!(found["beyond_chance"], true);
        let same = a.against(&a).expect("comparable");
        assert_eq!(same["accuracy"]["beyond_chance"], false);
    }

    #[test]
    fn what_was_scored_differently_is_not_compared() {
        let loss = Scored::Records("eval_loss", vec![Outcome::hit(true); 400]);
        assert!(loss.against(&hits(|_| true)).is_err());
        assert!(loss.metrics().expect("metrics")["perplexity"].is_number());
    }
}
