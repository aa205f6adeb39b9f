/*
 * The upstream of the benchmarks: answers every request from memory, so that the parties and not it are measured.
 *
 *   upstream PORT WHOLE STREAM CHUNK_BYTES BEGIN_BYTES CHUNKS EVERY_US
 *
 * WHOLE and STREAM are files with complete HTTP answers, head included. A request whose body asks for `"stream":true` gets
 * STREAM: its first BEGIN_BYTES at once, then CHUNKS pieces of CHUNK_BYTES, one each EVERY_US (0: all at once), then the rest.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, FD_MAX = 20000 };

typedef struct {
  char *data;
  size_t size;
} Blob;

typedef struct {
  int open;
  char in[HEAD_MAX];
  size_t filled;
  long body_left;   /* of the request being read; -1: its head is not whole yet */
  const Blob *out;  /* the answer being written */
  size_t written;
  long long started; /* of a paced answer, ns */
  int paced;
} Conn;

static Conn *conns[FD_MAX];
static int active[FD_MAX], active_count;
static Blob whole, stream_blob;
static size_t chunk_bytes, begin_bytes;
static long chunks;
static long long every_ns;
static int poller;

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static Blob load(const char *path) {
  Blob blob;
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  fseek(file, 0, SEEK_END);
  blob.size = (size_t)ftell(file);
  rewind(file);
  blob.data = malloc(blob.size);
  if (fread(blob.data, 1, blob.size, file) != blob.size) die(path);
  fclose(file);
  return blob;
}

static void deactivate(int fd) {
  for (int i = 0; i < active_count; i++)
    if (active[i] == fd) {
      active[i] = active[--active_count];
      return;
    }
}

static void drop(int fd) {
  if (conns[fd]->paced) deactivate(fd);
  conns[fd]->open = 0;
  conns[fd]->paced = 0;
  close(fd);
}

static void want(int fd, int writable) {
  struct epoll_event event = {.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

/* Writes up to `limit`. 1: got there, 0: the reader is slow, -1: gone. */
static int write_to(int fd, Conn *conn, size_t limit) {
  while (conn->written < limit) {
    ssize_t n = send(fd, conn->out->data + conn->written, limit - conn->written, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    conn->written += (size_t)n;
  }
  return 1;
}

/* Bytes of a paced answer that may be out when `sent` chunks are. */
static size_t upto(long sent) {
  return sent >= chunks ? stream_blob.size : begin_bytes + (size_t)sent * chunk_bytes;
}

static int pump(int fd, Conn *conn, long long now) {
  if (!conn->paced) {
    int state = write_to(fd, conn, conn->out->size);
    if (state == 0) want(fd, 1);
    return state;
  }
  long due = (long)((now - conn->started) / every_ns);
  if (due > chunks) due = chunks;
  long sent = conn->written < begin_bytes ? -1 : (long)((conn->written - begin_bytes) / chunk_bytes);
  /* One write a chunk, as a model writes them, also when some are late. */
  for (long next = sent < 0 ? 0 : sent; next <= due; next++) {
    int state = write_to(fd, conn, upto(next));
    if (state <= 0) return state;
  }
  return conn->written == stream_blob.size;
}

static void answer(int fd, Conn *conn, int streamed) {
  conn->out = streamed ? &stream_blob : &whole;
  conn->written = 0;
  conn->paced = streamed && every_ns > 0;
  conn->started = now_ns();
  if (conn->paced) active[active_count++] = fd;
}

/* Reads requests; 0 when the connection is gone. */
static int receive(int fd, Conn *conn) {
  for (;;) {
    if (conn->body_left >= 0) {
      static char sink[262144];
      size_t size = (size_t)conn->body_left < sizeof sink ? (size_t)conn->body_left : sizeof sink;
      ssize_t n = size == 0 ? 0 : recv(fd, sink, size, 0);
      if (size > 0 && n == 0) return 0;
      if (n < 0) return errno == EAGAIN;
      conn->body_left -= n;
      if (conn->body_left > 0) continue;
      answer(fd, conn, memmem(conn->in, conn->filled, "\"stream\":true", 13) != NULL);
      conn->filled = 0;
      conn->body_left = -1;
      return 1;
    }
    ssize_t n = recv(fd, conn->in + conn->filled, HEAD_MAX - conn->filled, 0);
    if (n == 0) return 0;
    if (n < 0) return errno == EAGAIN;
    conn->filled += (size_t)n;
    char *end = memmem(conn->in, conn->filled, "\r\n\r\n", 4);
    if (!end) {
      if (conn->filled == HEAD_MAX) return 0;
      continue;
    }
    size_t head = (size_t)(end - conn->in) + 4;
    *end = 0;
    char *length = strcasestr(conn->in, "\r\ncontent-length:");
    long body = length ? atol(length + 17) : 0;
    conn->body_left = body - (long)(conn->filled - head);
    /* Bodies come with a length and requests one at a time: whatever follows the head is its body. */
    if (conn->body_left < 0) conn->body_left = 0;
    /* Small bodies whose rest is still to come are read into the buffer, so that it holds what asks for a stream. */
    while (conn->body_left > 0 && conn->filled + (size_t)conn->body_left <= HEAD_MAX) {
      n = recv(fd, conn->in + conn->filled, (size_t)conn->body_left, 0);
      if (n == 0) return 0;
      if (n < 0) {
        if (errno != EAGAIN) return 0;
        usleep(50);
        continue;
      }
      conn->filled += (size_t)n;
      conn->body_left -= n;
    }
  }
}

static void accept_all(int listener) {
  int fd, on = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= FD_MAX) {
      close(fd);
      continue;
    }
    if (!conns[fd]) conns[fd] = malloc(sizeof(Conn));
    *conns[fd] = (Conn){.open = 1, .body_left = -1};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  }
}

static void settle(int fd, int state) {
  if (state < 0) drop(fd);
  else if (state > 0) {
    if (conns[fd]->paced) deactivate(fd);
    conns[fd]->paced = 0;
    conns[fd]->out = NULL;
  }
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: upstream PORT WHOLE STREAM CHUNK_BYTES BEGIN_BYTES CHUNKS EVERY_US\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  whole = load(argv[2]);
  stream_blob = load(argv[3]);
  chunk_bytes = (size_t)atol(argv[4]);
  begin_bytes = (size_t)atol(argv[5]);
  chunks = atol(argv[6]);
  every_ns = atoll(argv[7]) * 1000;

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
  if (listen(listener, 4096) < 0) die("listen");
  poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);

  for (;;) {
    struct timespec wait = {.tv_sec = 1};
    if (active_count > 0) {
      long long now = now_ns(), next = now + 1000000000LL;
      for (int i = 0; i < active_count; i++) {
        Conn *conn = conns[active[i]];
        long sent = conn->written < begin_bytes ? -1 : (long)((conn->written - begin_bytes) / chunk_bytes);
        long long due = conn->started + (sent + 1) * every_ns;
        if (due < next) next = due;
      }
      long long left = next > now ? next - now : 0;
      wait.tv_sec = left / 1000000000LL;
      wait.tv_nsec = left % 1000000000LL;
    }
    int ready = epoll_pwait2(poller, events, 256, &wait, NULL);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        accept_all(listener);
        continue;
      }
      Conn *conn = conns[fd];
      if (!conn->open) continue;
      if (events[i].events & EPOLLIN && !receive(fd, conn)) {
        drop(fd);
        continue;
      }
      if (!conn->out) continue;
      if (events[i].events & EPOLLOUT) want(fd, 0);
      settle(fd, pump(fd, conn, now_ns()));
    }
    long long now = now_ns();
    for (int i = active_count - 1; i >= 0; i--) {
      int fd = active[i];
      settle(fd, pump(fd, conns[fd], now));
    }
  }
}
