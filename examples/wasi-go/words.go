// A WASI command in Go, nothing but the standard library: it is started anew for each request, finds the request
// in CGI variables and on standard input, and prints a CGI response: how many lines, words and bytes the body has.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	lines, words, bytes := 0, 0, 0
	body := bufio.NewReader(os.Stdin)
	for {
		line, err := body.ReadString('\n')
		bytes += len(line)
		words += len(strings.Fields(line))
		if err != nil {
			break
		}
		lines++
	}
	response := bufio.NewWriter(os.Stdout)
	fmt.Fprint(response, "Content-Type: text/plain; charset=utf-8\r\n\r\n")
	fmt.Fprintf(response, "%s %s: %d lines, %d words, %d bytes\n",
		os.Getenv("REQUEST_METHOD"), os.Getenv("PATH_INFO"), lines, words, bytes)
	if err := response.Flush(); err != nil {
		log.Fatalf("the response cannot be written: %v", err)
	}
}
