// A WASI command in Go: an ordinary program. It is started anew for each request, finds the request in CGI variables
// and on standard input, and prints a CGI response. What it writes to standard error is logged.
package main

import (
	"fmt"
	"log"
	"os"
)

func main() {
	log.Println("somebody asks")
	fmt.Print("Content-Type: text/plain\r\n\r\n")
	fmt.Printf("Hello from Go! You asked for %s.\n", os.Getenv("PATH_INFO"))
}
