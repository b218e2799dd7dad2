//! Exhaustive models of the consensus protocol, and of the variants of it that must break.
//!
//! ```text
//! genesis    rule 2 (and 1): quarantine, ballots, promises, founding, leases; time in ticks; a fixed host list
//! lists      rule 3: generations while the operator changes the list, takes a change back, changes it again
//! seats      rules 1 and 4 in one generation: Raft with incarnations, two seat maps, two slot lists
//!
//! search     Model = start, steps, the state after a step  →  exhaust · walk · can_always_finish  →  Report, Story
//! catalogue  Check = a model at a size + what the search must find
//! ```
//!
//! The three models are three views of one protocol. `genesis` and `lists` see a generation from outside: its rounds
//! commit or they do not. That a generation is one log, whoever leads it, is what `seats` checks; that two generations
//! never take turns is what the other two check. `genesis` has time and messages one by one, for a list that does not change;
//! `lists` has changing lists and no time. What each leaves out, and why that loses no behaviour, stands at
//! its head.
//!
//! # How a rule is checked
//!
//! Every state that can be reached at a small size is looked at (`exhaust`, breadth first), or a great many random
//! histories at a larger one (`walk`). That a change can also be *finished* is searched backwards from the end
//! (`can_always_finish`). A weaker **variant** of each rule must give a counterexample, or the model would say nothing about
//! what the variant leaves out. The shortest counterexamples are kept as golden files in `tests/stories`; they are
//! the quickest way to see what a rule is for.
//!
//! # How to run it
//!
//! ```text
//! cargo test  -p rauthy-model                                                    the small checks, half a minute
//! cargo run   -p rauthy-model -- run --full --threads 2 --millions 60            all of them
//! cargo run   -p rauthy-model -- story founding-term-only                        how a variant breaks
//! cargo run   -p rauthy-model -- lists '3>(5)>4' --variant slots-only --walks 100000 --story
//! INSTA_UPDATE=always cargo test -p rauthy-model                                 write the golden files anew
//! ```
//!
//! # What was found
//!
//! Beyond "the rule holds, the variant breaks" (the catalogue has the list):
//!
//! * **A second change after one taken back is safe**, with two generations alive at once and any number over time, for
//!   all pairs of sizes that were exhausted. What protects it: the configurations of a change taken back and of those
//!   around it all need a majority of the same first list. The confirmations of the *second* change are what keeps founders with an
//!   older list away. So the operator need not wait until a generation has followed the take-back (`no-wait-after-take-back`), nor
//!   have that confirmed (`take-back-unconfirmed`), and a generation may take the new number from any lower one
//!   (`renumbers-from-any`, as the core does). It must not take back what it has begun to commit
//!   (`takes-back-what-commits`), commands must carry numbers (`slots-only`), two lists must be left by both majorities
//!   (`new-majority-alone`), and a genesis' two lists must wait for the operator (`completes-by-itself`).
//! * **Without the renumbering entry everything is safe and nothing goes on** (`no-renumbering, to the end`): a generation that
//!   never saw the change taken back keeps a number that no later command fits.
//! * **A change finishes with pods that never start**, as long as a majority of each list does; without one it does not.
//! * **A promise-giver need not compare epochs** (`no-promise-check`), and an ack need not ask where the promise is
//!   (`ack-anywhere`): what protects is the check at the ack, and that an ack binds.
//! * **A seat swap need not wait for an entry of the leader's own term** if it waits for what the same leader appended before
//!   (`before-own-term` holds, `before-committed` breaks): when a joint configuration is appended the old incarnation is
//!   dead (S1), so every majority of the old map that forms later is one of the new map too. A change of *lists* is saved from the
//!   same haste by rule 3d only (`before-own-term + new-majority-alone` breaks).

pub mod catalogue;
pub mod genesis;
pub mod lists;
pub mod search;
pub mod seats;
pub mod slots;
