// A command component (wasi:cli/run) in plain C, answering as a CGI script does: the body comes back in capitals.
//
//   QUERY_STRING=fail     says why on stderr and returns an error
//   QUERY_STRING=exit     prints an answer and leaves by exit(0)
//   QUERY_STRING=endless  prints for ever

#include "wasi_http.h"

#define STDIN(name) __attribute__((import_module("wasi:cli/stdin@0.2.0"), import_name(name)))
#define STDOUT(name) __attribute__((import_module("wasi:cli/stdout@0.2.0"), import_name(name)))
#define STDERR(name) __attribute__((import_module("wasi:cli/stderr@0.2.0"), import_name(name)))
#define ENVIRONMENT(name) __attribute__((import_module("wasi:cli/environment@0.2.0"), import_name(name)))
#define EXIT(name) __attribute__((import_module("wasi:cli/exit@0.2.0"), import_name(name)))

STDIN("get-stdin") handle get_stdin(void);
STDOUT("get-stdout") handle get_stdout(void);
STDERR("get-stderr") handle get_stderr(void);
ENVIRONMENT("get-environment") void environment_raw(void *);
EXIT("exit") void leave(uint32_t failed);

static text variable(text name) {
  struct {
    field *at;
    uint32_t size;
  } found;
  environment_raw(&found);
  for (uint32_t i = 0; i < found.size; i++)
    if (same(found.at[i].name, name)) return found.at[i].value;
  return TEXT("");
}

EXPORT("wasi:cli/run@0.2.0#run") uint32_t run(void) {
  text query = variable(TEXT("QUERY_STRING"));
  if (same(query, TEXT("fail"))) {
    handle said = get_stderr();
    write_all(said, TEXT("there is nothing to shout\n"));
    output_drop(said);
    return 1;
  }
  handle out = get_stdout(), in = get_stdin();
  write_all(out, TEXT("Content-Type: text/plain\nX-Method: "));
  write_all(out, variable(TEXT("REQUEST_METHOD")));
  write_all(out, TEXT("\n\n"));
  uintptr_t top = heap_top;
  for (text some = read_some(in); some.size; some = read_some(in)) {
    char *at = (char *)some.at;
    for (uint32_t i = 0; i < some.size; i++)
      if (at[i] >= 'a' && at[i] <= 'z') at[i] -= 32;
    write_all(out, some);
    heap_top = top;
  }
  while (same(query, TEXT("endless"))) write_all(out, TEXT("and on "));
  input_drop(in);
  output_drop(out);
  if (same(query, TEXT("exit"))) leave(0);
  return 0;
}
