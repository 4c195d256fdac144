//! Writes the tables of `docs/scaling.md`: `cargo run --release -p dotgate-sim --example fleet`.

use std::error::Error;
use std::path::Path;

use dotgate_sim::fleet::{BEGIN, END, tables};

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page
        .split_once(BEGIN)
        .ok_or("no line that begins the tables")?;
    let (_, after) = rest.split_once(END).ok_or("no line that ends the tables")?;
    let tables = tables();
    std::fs::write(&path, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?;
    print!("{tables}");
    Ok(())
}
