//! The chain of a small invented workshop: whole as it is, and refused by name whichever piece is
//! altered, swapped, missing, expired, withdrawn or replaced.

mod home;
mod life;
mod mutation;
mod stages;
mod views;
