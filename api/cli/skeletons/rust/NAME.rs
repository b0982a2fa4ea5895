//! A WASI command in Rust: an ordinary program. It is started anew for each request, finds the request in CGI variables
//! and on standard input, and prints a CGI response. What it writes to standard error is logged.

use std::env;

fn main() {
    eprintln!("somebody asks");
    let path = env::var("PATH_INFO").unwrap_or_default();
    print!("Content-Type: text/plain\r\n\r\nHello from Rust! You asked for {path}.\n");
}
