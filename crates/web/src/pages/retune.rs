//! "Tune again without it", on pages about withdrawn data: the orders whose models answer with it, each to be placed
//! again as it is by whoever may tune in its project, and as a command.
//!
//! Placing it is the clone of an order ([`super::change`]): what is withdrawn is left out when its data are prepared.

use lathe_workshop::people::Right;
use lathe_workshop::trace::TuneAgain;

use super::{may_in, short};

/// An order that is offered.
pub(super) struct Retune {
    pub href: String,
    pub short_id: String,
    /// The names that its model answers under.
    pub names: String,
    pub command: String,
    /// Whether whoever reads may place it.
    pub tunes: bool,
}

/// These orders as they are offered.
pub(super) fn offered(all: &[TuneAgain]) -> Vec<Retune> {
    let of = |it: &TuneAgain| Retune {
        href: format!("/orders/{}", it.order),
        short_id: short(&it.order.0).to_owned(),
        names: it.names.join(" · "),
        command: it.command.clone(),
        tunes: may_in(Right::Tune, &it.project),
    };
    all.iter().map(of).collect()
}
