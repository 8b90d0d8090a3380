//! What a caller adds to the logits of single tokens before one is chosen (OpenAI's `logit_bias`).

/// Numbers added to logits, by token.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Bias(pub Vec<(u32, f32)>);

impl Bias {
    /// Whether nothing is added.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds them; a token that the model does not have is left out.
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        for &(token, bias) in &self.0 {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_tokens_are_moved() {
        let mut logits = [1.0; 4];
        Bias(vec![(0, -100.0), (2, 3.5), (9, 1.0)]).apply(&mut logits);
        assert_eq!(logits, [-99.0, 1.0, 4.5, 1.0]);
        assert!(Bias::default().is_idle());
    }
}
