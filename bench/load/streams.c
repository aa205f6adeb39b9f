/*
 * Load of streamed answers: opens them, reads them to their end, and says how long they took.
 *
 *   streams PORT REQUEST CONNECTIONS SECONDS RATE
 *
 * REQUEST is a file with one whole HTTP/1.1 request. RATE 0: each connection begins its next stream when one has ended;
 * otherwise RATE streams begin each second, on idle connections, of which there are at most CONNECTIONS.
 * Prints one line of JSON: times in microseconds, `events` as blank lines in the bodies.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int fd;
  int busy;
  int in_body;     /* the answer's head has passed */
  int failed;      /* its status was not 200 */
  long long begun; /* ns */
  char tail[8];    /* the last bytes read */
} Conn;

typedef struct {
  double *values;
  size_t count, room;
} Samples;

static Conn *conns;
static int connections, poller;
static struct sockaddr_in address;
static char *request;
static size_t request_size;
static Samples first_bytes, durations;
static long long events_seen, bytes_seen;
static long started, ended, errors, late;

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void add(Samples *samples, double value) {
  if (samples->count == samples->room) {
    samples->room = samples->room ? samples->room * 2 : 4096;
    samples->values = realloc(samples->values, samples->room * sizeof(double));
  }
  samples->values[samples->count++] = value;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(const Samples *samples, double share) {
  if (samples->count == 0) return -1;
  size_t index = (size_t)(share * (double)samples->count);
  return samples->values[index < samples->count ? index : samples->count - 1];
}

static int dial(Conn *conn) {
  int on = 1;
  conn->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(conn->fd, (struct sockaddr *)&address, sizeof address) < 0) return 0;
  setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
  epoll_ctl(poller, EPOLL_CTL_ADD, conn->fd, &event);
  return 1;
}

static void redial(Conn *conn) {
  close(conn->fd);
  conn->busy = 0;
  if (!dial(conn)) {
    fprintf(stderr, "cannot connect: %s\n", strerror(errno));
    exit(1);
  }
}

static void begin(Conn *conn, long long now) {
  started++;
  conn->busy = 1;
  conn->in_body = 0;
  conn->failed = 0;
  conn->begun = now;
  memset(conn->tail, 0, sizeof conn->tail);
  for (size_t sent = 0; sent < request_size;) {
    ssize_t n = send(conn->fd, request + sent, request_size - sent, MSG_NOSIGNAL);
    if (n < 0) {
      errors++;
      redial(conn);
      return;
    }
    sent += (size_t)n;
  }
}

/* Looks at what was read; 1 when the answer is over. */
static int look(Conn *conn, const char *bytes, size_t size, long long now) {
  size_t at = 0;
  if (!conn->in_body) {
    char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) return 0;
    conn->failed = memcmp(bytes, "HTTP/1.1 200", 12) != 0;
    conn->in_body = 1;
    at = (size_t)(end - bytes) + 4;
    if (conn->failed) {
      fprintf(stderr, "%.*s\n", (int)(size < 400 ? size : 400), bytes);
      return 1;
    }
  }
  if (at < size && conn->in_body == 1) {
    add(&first_bytes, (double)(now - conn->begun) / 1000);
    conn->in_body = 2;
  }
  char last = conn->tail[sizeof conn->tail - 1];
  for (size_t i = at; i < size; i++) {
    if (bytes[i] == '\n' && last == '\n') events_seen++;
    last = bytes[i];
  }
  size_t body = size - at;
  size_t keep = sizeof conn->tail;
  if (body >= keep) memcpy(conn->tail, bytes + size - keep, keep);
  else {
    memmove(conn->tail, conn->tail + body, keep - body);
    memcpy(conn->tail + keep - body, bytes + at, body);
  }
  return memcmp(conn->tail + keep - 5, "0\r\n\r\n", 5) == 0;
}

static void print_samples(const char *name, Samples *samples) {
  qsort(samples->values, samples->count, sizeof(double), ascending);
  printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name, percentile(samples, 0.5),
         percentile(samples, 0.99), percentile(samples, 0.999), percentile(samples, 1));
}

static char *load(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *data = malloc(*size);
  if (fread(data, 1, *size, file) != *size) exit(1);
  fclose(file);
  return data;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: streams PORT REQUEST CONNECTIONS SECONDS RATE\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  request = load(argv[2], &request_size);
  connections = atoi(argv[3]);
  double seconds = atof(argv[4]);
  double rate = atof(argv[5]);
  poller = epoll_create1(0);
  conns = calloc((size_t)connections, sizeof(Conn));
  for (int i = 0; i < connections; i++)
    if (!dial(&conns[i])) {
      fprintf(stderr, "cannot connect: %s\n", strerror(errno));
      return 1;
    }

  static char buffer[262144];
  struct epoll_event events[256];
  long long from = now_ns(), until = from + (long long)(seconds * 1e9), give_up = until + 5000000000LL;
  long due_before = 0;
  int next_conn = 0;
  if (rate == 0)
    for (int i = 0; i < connections; i++) begin(&conns[i], now_ns());

  for (;;) {
    long long now = now_ns();
    if ((now >= until && ended + errors >= started) || now >= give_up) break;
    struct timespec wait = {.tv_nsec = 100000000};
    if (rate > 0 && now < until) {
      long due = (long)((double)(now - from) / 1e9 * rate);
      for (; due_before < due; due_before++) {
        int tried = 0;
        while (tried < connections && conns[next_conn].busy) next_conn = (next_conn + 1) % connections, tried++;
        if (tried == connections) late++;
        else begin(&conns[next_conn], now_ns());
      }
      long long next = from + (long long)((double)(due_before + 1) / rate * 1e9) - now;
      wait.tv_nsec = next < 0 ? 0 : next < 100000000 ? next : 100000000;
    }
    int ready = epoll_pwait2(poller, events, 256, &wait, NULL);
    for (int i = 0; i < ready; i++) {
      Conn *conn = events[i].data.ptr;
      ssize_t n = recv(conn->fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) {
        if (conn->busy) errors++;
        redial(conn);
        if (rate == 0 && now_ns() < until) begin(conn, now_ns());
        continue;
      }
      now = now_ns();
      bytes_seen += n;
      if (!conn->busy || !look(conn, buffer, (size_t)n, now)) continue;
      if (conn->failed) {
        errors++;
        redial(conn);
      } else {
        ended++;
        add(&durations, (double)(now - conn->begun) / 1000);
        conn->busy = 0;
      }
      if (rate == 0 && now < until) begin(conn, now_ns());
    }
  }
  double took = (double)(now_ns() - from) / 1e9;
  printf("{\"streams\":%ld,\"errors\":%ld,\"late\":%ld,\"events\":%lld,\"bytes\":%lld,\"seconds\":%.3f", ended,
         errors + (started - ended - errors), late, events_seen, bytes_seen, took);
  print_samples("firstByteUs", &first_bytes);
  print_samples("durationUs", &durations);
  printf("}\n");
  return 0;
}
