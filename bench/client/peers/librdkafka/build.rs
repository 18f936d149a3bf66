//! Compiles the program, which is C, against the header of the librdkafka that `rdkafka-sys` has built.

fn main() {
    let librdkafka = std::env::var("DEP_RDKAFKA_ROOT").expect("rdkafka-sys tells where it has built librdkafka");
    println!("cargo:rerun-if-changed=src/main.c");
    cc::Build::new().file("src/main.c").include(format!("{librdkafka}/src")).opt_level(2).compile("bench_librdkafka");
}
