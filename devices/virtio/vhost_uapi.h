// SPDX-License-Identifier: Apache-2.0
#pragma once

// The user API of the kernel's vhost. It includes one of queues whose functions are not C++ unless
// they are left out (linux/virtio_ring.h).
#ifndef VIRTIO_RING_NO_LEGACY
#define VIRTIO_RING_NO_LEGACY
#endif
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
