// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/message.hpp"

#include <cstddef>

namespace gpuward::log {

static constexpr MessageRow rows[] = {
    {Message::notice, "notice", "", "74fc7f45848d4a77a9e3b0108397a321"},
    {Message::warning, "warning", "", "f2a3b745c94d4a38aa1464a4ac440e5a"},
    {Message::error, "error", "", "ea2e70caac414270af119ae627f4666c"},
    {Message::start_refused, "start-refused", "refuse", "18469560a0ef4979ac667244b1d70034"},
    {Message::arrival_refused, "arrival-refused", "refuse", "7c3ac9c6c6a941f9ace608a0f65579a6"},
    {Message::release_failed, "release-failed", "failed", "1af84ce1ee634da4ae6aa846d24458d2"},
    {Message::reconnect_failed, "reconnect-failed", "failed", "efe3261117304e7da26e8ceee766d6e8"},
    {Message::scrub_failed, "scrub-failed", "failed", "1f281c07cbe74c56a17a58725ac1ebce"},
    {Message::resumed, "resumed", "resume", "5091c8ea9a2c4f96a531cdd5b24823b4"},
    {Message::pause_left, "pause-left", "report", "25b6e352b0e04ffca981f2632c74517d"},
    {Message::pause_not_undone, "pause-not-undone", "failed", "ea96ddb7af1042f3a79192e798019b76"},
    {Message::job_aborted, "job-aborted", "abort-job", "49c942de79be4b99afa0c3dcc4885787"},
    {Message::job_left, "job-left", "report", "522388da60f24b52a098eeb99f229f06"},
    {Message::job_not_aborted, "job-not-aborted", "failed", "3fc40aa48cc44a97ab74ec16a4a7a3f5"},
    {Message::memory_unplugged, "memory-unplugged", "unplug-memory",
     "fc933d706ba64bbfaa59cc50e842493d"},
    {Message::memory_left, "memory-left", "report", "18d77cec26bf41dda98f560423fbe8c0"},
    {Message::gpu_unplugged, "gpu-unplugged", "unplug-gpu", "0f7bbdec00c74911a1e1ff2bfe21c010"},
    {Message::gpu_left, "gpu-left", "report", "c7dd6895f9da4640a55b0f78490adc76"},
    {Message::not_unplugged, "not-unplugged", "failed", "3435924860f84257a4181cc970b2a45a"},
    {Message::not_released, "not-released", "failed", "92e0369484a748b2a0c9412ead7f8ce3"},
    {Message::released, "released", "unplugged", "ef12c99f52b540b6a88f7d4815a3cb46"},
    {Message::gpu_removed, "gpu-removed", "failed", "032ec08701424c96a568643fd5246b1a"},
    {Message::unknown_to_libvirt, "unknown-to-libvirt", "failed",
     "f2528dc0fd704475a9ace6607c6c0b95"},
    {Message::retried, "retried", "retry", "6d322e4694ec4a13a34677ff399eed47"},
    {Message::withheld, "withheld", "", "11c7ddf3e2ac44b1a928d55521a3136b"},
    {Message::reconciled, "reconciled", "reconcile", "b43e277331004f58ada5db5421d31876"},
    {Message::not_reconciled, "not-reconciled", "reconcile", "fd0c9a13e7474ec1a64ef797d19cffba"},
    {Message::reassigned, "reassigned", "reassign", "d1e9e6dcc0a2442da0cf8acf29ff17b7"},
    {Message::port_closed, "port-closed", "close-port", "36757b04f3d94e4287dd369982292830"},
    {Message::config_invalid, "config-invalid", "", "d51bb4b9d083429da3d71b0f6d2e596f"},
    {Message::connection_lost, "connection-lost", "", "3076db1d7eca4d38a72fd0f57e4976d2"},
    {Message::call_denied, "call-denied", "deny", "eb0bb6c825524015afc6fcffd1dcbd8a"},
    {Message::call_allowed, "call-allowed", "report", "5f11bb1f1f784bc6a4b9f94ecf91ab2e"},
    {Message::provision_failed, "provision-failed", "failed", "da7358c40b164a9ca81326aa7d8f52fd"},
    {Message::started_anyway, "started-anyway", "permit", "d92b875ed2bd41049b0eecd92f950273"},
};

std::span<const MessageRow> messages() {
  return rows;
}

/// The table is in the order of Message; a test compares them.
static const MessageRow& row_of(Message message) {
  return rows[static_cast<size_t>(message)];
}

std::string_view to_string(Message message) {
  return row_of(message).name;
}

std::string_view action_of(Message message) {
  return row_of(message).action;
}

std::string_view id_of(Message message) {
  return row_of(message).id;
}

}  // namespace gpuward::log
