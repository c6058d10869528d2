//! `make compose-test`: the scenarios of this folder's neighbours on compose.yaml, through the public API, and what happens to its containers.
//! The stack is started once, from nothing, and taken away at the end; what one test breaks is mended before the next.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise and says what it counted"
)]

mod api;
mod dashboards;
mod faults;
mod images;
mod stack;

use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Trial};
use stack::Stack;
use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

/// A test on the stack.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Stack) -> LocalBoxFuture<'a, ()>,
}

/// Makes the tests of a module from its functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<$crate::Test> {
            vec![$($crate::Test { name: stringify!($name), run: |stack| Box::pin($name(stack)) }),*]
        }
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // What one test breaks must not be another one's.
    arguments.test_threads = Some(1);
    let tests = [images::tests(), api::tests(), faults::tests(), dashboards::tests()].into_iter().flatten();
    if arguments.list {
        libtest_mimic::run(&arguments, tests.map(|test| Trial::test(test.name, || Ok(()))).collect()).exit();
    }
    let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
    let stack = Arc::new(runtime.block_on(Stack::up()));
    let trials = tests.map(|test| {
        let (runtime, stack) = (runtime.clone(), stack.clone());
        Trial::test(test.name, move || {
            let run = || {
                runtime.block_on(async {
                    stack.mend().await;
                    (test.run)(&stack).await;
                });
            };
            std::panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| stack.log().into())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    stack.down();
    conclusion.exit_code()
}
