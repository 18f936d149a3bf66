//! Writes the generated files: `cargo run -p kafka-wire-codegen`.

fn main() {
    let written = kafka_wire_codegen::generate()
        .and_then(|files| kafka_wire_codegen::write(&files).map_err(|error| error.to_string()));
    if let Err(error) = written {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
