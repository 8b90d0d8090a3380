//! Black-box tests of the lathe binary: helpers shared by the test files beside this one.
