/*
 * A WASI command in C: an ordinary program. It is started anew for each request, finds the request in CGI
 * variables and on standard input, and prints a CGI response. What it writes to standard error is logged.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *variable(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void print(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) {
        exit(1);
    }
}

int main(void) {
    const char *path = variable("PATH_INFO", "/");
    if (strcmp(path, "/missing") == 0) {
        print("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such page\n");
        return 0;
    }
    print("Content-Type: text/plain\r\nX-Example: wasi-c\r\n\r\n");
    print(variable("GREETING", "Hello"));
    print(" from C: ");
    print(variable("REQUEST_METHOD", "GET"));
    print(" ");
    print(path);
    const char *query = variable("QUERY_STRING", "");
    if (*query) {
        print("?");
        print(query);
    }
    print("\n");
    char block[4096];
    ssize_t size;
    while ((size = read(STDIN_FILENO, block, sizeof block)) > 0) {
        if (write(STDOUT_FILENO, block, (size_t)size) < 0) {
            return 1;
        }
    }
    return size < 0;
}
