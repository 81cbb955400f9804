// SPDX-License-Identifier: LGPL-2.1-or-later
// open_device NAME GROUP [hidden]: has a device (UUID of an mdev, PCI address) open as QEMU would,
// until it is killed. hidden: where no /proc/PID/fd shows it, as the descriptors are in flight
// between two sockets, so that a removal of the device must block.
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int fds[3];  // container, group, device

static int open_device(const char* uuid, const char* group) {
  char path[64];
  snprintf(path, sizeof path, "/dev/vfio/%s", group);
  fds[0] = open("/dev/vfio/vfio", O_RDWR);
  fds[1] = open(path, O_RDWR);
  if (fds[0] < 0 || fds[1] < 0) return -1;
  if (ioctl(fds[1], VFIO_GROUP_SET_CONTAINER, &fds[0]) != 0) return -1;
  if (ioctl(fds[0], VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU) != 0) return -1;
  fds[2] = ioctl(fds[1], VFIO_GROUP_GET_DEVICE_FD, uuid);
  return fds[2] < 0 ? -1 : 0;
}

static int hide(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
  char byte = 0, control[CMSG_SPACE(sizeof fds)] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fds);
  memcpy(CMSG_DATA(header), fds, sizeof fds);
  if (sendmsg(ends[0], &message, 0) != 1) return -1;
  for (int i = 0; i < 3; ++i) close(fds[i]);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (open_device(argv[1], argv[2]) != 0 || (argc > 3 && hide() != 0)) {
    perror("open_device");
    return 1;
  }
  puts("open");
  fflush(stdout);
  for (;;) pause();
}
