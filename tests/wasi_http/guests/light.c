// The probe without what the adapter does not offer: it runs inside the adapter.

#define LIGHT
#include "probe.c"
