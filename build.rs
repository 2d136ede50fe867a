//! Cargo does not see by itself that the binary contains these folders.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=public/guide");
}
