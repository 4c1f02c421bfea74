//! `store`: tables and transactions over an ordered key-value engine.
//!
//! A [`Store`] holds typed [`Table`]s of [`Record`]s under order-preserving [`Key`]s. Reads run on a
//! consistent snapshot, in parallel with anything. Writes are units that are kept or undone whole, and many
//! units share one durable commit. The store knows nothing of what is stored, and it has no thread, clock,
//! environment or randomness of its own (the engine under it keeps its compaction threads to itself).
//!
//! ```
//! use store::{Direction, Fault, Key, Read, Store, Table};
//!
//! const LAMPS: Table<Vec<u8>> = Table::new("lamps");
//!
//! // A helper that only reads serves readers and writers alike: a `&mut Write` coerces to `&Read`.
//! fn is_known(db: &Read, name: &str) -> Result<bool, Fault> {
//!     db.contains(&LAMPS, &Key::of(["hall", name]))
//! }
//!
//! let store = Store::in_memory();
//! store.write(|tx| {
//!     if !is_known(tx, "left")? {
//!         tx.put(&LAMPS, &Key::of(["hall", "left"]), &b"on".to_vec())?;
//!     }
//!     Ok::<(), Fault>(())
//! })?;
//! let hall = store.read().range(&LAMPS, &Key::of(["hall"]), None, Direction::Ascending, 10)?;
//! assert_eq!(hall[0].0.text_at(1)?, "left");
//! # Ok::<(), Fault>(())
//! ```

pub use desk::{Options, Outcome, Store, Work};
pub use engine::faulty::{Disk, FaultPlan};
pub use engine::{Direction, Durability};
pub use fault::Fault;
pub use key::{Edge, Key};
pub use table::{Record, Table};
pub use view::{Read, Write};

mod desk;
mod engine;
mod fault;
mod key;
mod table;
mod view;

#[doc(hidden)]
pub use table::json;
