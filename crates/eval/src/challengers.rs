//! What a tuned model has to beat: one file per challenger, one line each in
//! [`crate::ChallengerSpec`].

mod linear_ngrams;
mod published;
mod ridge;
mod tfidf;

pub use linear_ngrams::{LinearNgrams, LinearNgramsSpec, run_linear_ngrams};
pub use published::PublishedSpec;
