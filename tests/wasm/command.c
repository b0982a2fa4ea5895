/* A WASI command that does what QUERY_STRING says; the tests compile it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "(none)";
}

static void head(void) { printf("Content-Type: text/plain\n\n"); }

static void echo(void) {
    char buffer[65536];
    size_t size;
    printf("Content-Type: %s\n\n", variable("CONTENT_TYPE"));
    while ((size = fread(buffer, 1, sizeof buffer, stdin)) > 0) fwrite(buffer, 1, size, stdout);
}

static void flood(FILE *stream) {
    char buffer[65536];
    memset(buffer, 'x', sizeof buffer);
    head();
    for (;;) fwrite(buffer, 1, sizeof buffer, stream);
}

static void show(const char *path) {
    char buffer[4096];
    FILE *file = fopen(path, "r");
    head();
    if (!file) {
        printf("cannot open");
        return;
    }
    size_t size = fread(buffer, 1, sizeof buffer, file);
    fwrite(buffer, 1, size, stdout);
    fclose(file);
}

static void keep(const char *path) {
    FILE *file = fopen(path, "w");
    head();
    printf(file && fputs("kept", file) >= 0 && fclose(file) == 0 ? "written" : "cannot write");
}

static void grow(void) {
    size_t size = 0;
    char *volatile block;
    head();
    while ((block = malloc(1 << 20))) size++;
    printf("%zu MiB", size);
}

static int counter;

int main(int argc, char **argv) {
    const char *what = variable("QUERY_STRING");
    if (!strcmp(what, "env")) {
        head();
        for (char **entry = environ; *entry; entry++) printf("%s\n", *entry);
    } else if (!strcmp(what, "argv")) {
        head();
        for (int i = 0; i < argc; i++) printf("%s\n", argv[i]);
    } else if (!strcmp(what, "echo")) {
        echo();
    } else if (!strncmp(what, "exit=", 5)) {
        head();
        fprintf(stderr, "first\nleaving with %s", what + 5);
        exit(atoi(what + 5));
    } else if (!strcmp(what, "flood")) {
        flood(stdout);
    } else if (!strcmp(what, "flood-stderr")) {
        char line[1000];
        memset(line, 'y', sizeof line);
        line[sizeof line - 1] = 0;
        for (int i = 0; i < 10000; i++) fprintf(stderr, "%s\n", line);
        head();
    } else if (!strcmp(what, "loop")) {
        for (;;) counter++;
    } else if (!strcmp(what, "sleep")) {
        sleep(3600);
        head();
    } else if (!strcmp(what, "nap")) {
        struct timespec before, after, wait = {0, 30000000};
        clock_gettime(CLOCK_MONOTONIC, &before);
        nanosleep(&wait, NULL);
        clock_gettime(CLOCK_MONOTONIC, &after);
        head();
        printf("%lld", (after.tv_sec - before.tv_sec) * 1000LL + (after.tv_nsec - before.tv_nsec) / 1000000);
    } else if (!strcmp(what, "abort")) {
        fprintf(stderr, "assertion failed: the sky\n");
        abort();
    } else if (!strcmp(what, "count")) {
        head();
        printf("%d", ++counter);
    } else if (!strcmp(what, "grow")) {
        grow();
    } else if (!strncmp(what, "read=", 5)) {
        show(what + 5);
    } else if (!strncmp(what, "write=", 6)) {
        keep(what + 6);
    } else if (!strcmp(what, "lines")) {
        fprintf(stderr, "one\ntwo\r\n\nthr");
        fprintf(stderr, "ee");
        head();
    } else {
        head();
        printf("hello");
    }
    return 0;
}
