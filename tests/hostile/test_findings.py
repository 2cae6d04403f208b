"""Which test holds what: each finding of the attackers (D1 to D19) and each item of the checklist, by the tests' names.

Attacks on a process of its own are here in tests/hostile; what one function decides is tested beside it. `COVER` is the
table; it names files and functions, and whoever renames one hears of it.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

COVER: dict[str, dict[str, str]] = {
    "D1 code before the handshake": {
        "hostile/test_decoding.py": "test_d01_a_stranger_runs_no_code "
        "test_d01_a_callback_given_by_a_client_is_no_way_to_run_code "
        "test_d01_an_object_that_names_its_daemon_is_no_proxy_of_the_strangers",
        "hostile/test_checklist.py": "test_d01_a_hostile_server_dials_nobody_through_its_clients",
        "hostile/test_servers.py": "test_gadgets_in_everything_that_a_server_says test_answers_to_a_handshake_that_are_none",
        "test_hostile_trust.py": "test_a_connect_with_a_proxy_inside_runs_nothing_and_dials_nobody "
        "test_a_server_that_answers_with_pickles",
        "test_inert.py": "test_values_are_inert_wherever_they_stand test_each_part_of_each_message_may_be_anything",
        "test_inert_services.py": "test_whole_requests_are_served test_handshakes_are_judged "
        "test_clients_take_whole_replies",
    },
    "D2 depth and the stack": {
        "hostile/test_decoding.py": "test_d02_no_nesting_kills_the_process test_d02_nor_on_a_small_stack",
        "test_depth.py": "test_containers_in_each_other_are_read test_time_zones_do_not_nest test_a_small_stack_is_enough",
    },
    "D3 decoding connects": {
        "hostile/test_decoding.py": "test_d03_reading_a_handshake_dials_nobody test_d03_reading_a_request_dials_nobody "
        "test_d03_a_silent_place_keeps_nobody_waiting",
        "test_inert_services.py": "test_calls_of_a_name_server",
    },
    "D4 a client that does not read": {
        "hostile/test_resources.py": "test_d04_a_client_that_does_not_read_stops_nobody test_d04_nor_do_thirty_of_them "
        "test_d04_a_client_that_reads_a_byte_at_a_time_stops_nobody",
        "server/test_unsent.py": "test_who_takes_nothing_is_dropped test_memory_stays_bounded_with_many_that_do_not_read",
    },
    "D5 memory": {
        "hostile/test_resources.py": "test_d05_small_messages_take_no_big_memory test_d05_a_promise_takes_no_memory "
        "test_d05_waiting_requests_count_their_buffers test_d05_a_long_name_comes_back_cut",
        "hostile/test_servers.py": "test_replies_of_every_size",
        "values/test_memory_budget.py": "test_memory_stays_within_the_budget test_calls_of_a_batch_are_charged",
    },
    "D6 loops that end": {
        "hostile/test_resources.py": "test_d06_no_thread_to_be_had_ends_no_loop test_d06_no_memory_to_be_had_ends_no_loop",
        "server/test_multiplex.py": "test_no_failure_of_a_turn_ends_the_loop "
        "test_a_flood_of_oneway_calls_starts_few_threads",
    },
    "D7 processor time": {
        "hostile/test_resources.py": "test_d07_hostile_bytes_take_no_longer_than_ordinary_ones "
        "test_d07_stored_blocks_are_inflated_in_one_pass",
    },
    "D8 fairness": {
        "hostile/test_resources.py": "test_d08_open_streams_cost_their_owner_only "
        "test_d08_one_client_does_not_take_all_places test_d08_one_stream_fetched_many_times_takes_not_all_places "
        "test_d08_silent_connections_keep_nobody_out test_d08_errors_of_one_are_cheap_for_the_others "
        "test_d08_a_storm_of_connections_keeps_nobody_out",
        "hostile/test_processes.py": "test_d08_admitted_clients_that_hold_all_descriptors",
        "naming/test_start.py": "test_looking_up_beside_changes_that_wait_for_a_locked_file",
    },
    "D9 interrupts and destructors": {
        "hostile/test_processes.py": "test_d09_destructors_that_call_keep_nobody_waiting",
        "hostile/test_tls_servers.py": "test_d09_interrupts_leave_nobody_waiting",
        "test_server_bytecodes.py": "test_an_interrupt_anywhere test_a_destructor_anywhere test_names_in_a_file",
        "support/channel_interruptions.py": "test_ctrl_c_while_waiting_for_the_reply test_ctrl_c_while_sending",
        "support/channel_bytecodes.py": "test_an_interrupt_anywhere_in_an_exchange "
        "test_an_interrupt_anywhere_while_waiting_for_another_thread",
        "client/test_proxy_bytecodes.py": "test_an_interrupt_anywhere",
        "test_mutex.py": "test_an_interrupt_anywhere test_a_signal_while_waiting_keeps_the_lock_until_the_block_ends",
    },
    "D10 classes of errors": {
        "hostile/test_decoding.py": "test_d10_an_odd_value_is_answered_or_ends_its_connection",
        "hostile/test_servers.py": "test_metadata_of_every_shape test_replies_to_something_else",
    },
    "D11 a: empty keys": {
        "hostile/test_checklist.py": "test_d11_an_empty_key_is_no_key "
        "test_item_15_pickles_need_opting_in_and_a_peer_that_has_shown_who_it_is",
        "transport/test_trusted_peers.py": "test_an_empty_key_is_refused_wherever_one_is_set "
        "test_who_signs_with_the_empty_key_is_never_admitted",
    },
    "D11 b: pickles that a sender names": {
        "hostile/test_processes.py": "test_d11_a_callback_behind_a_unix_socket_that_names_pickle",
        "test_hostile_trust.py": "test_a_callback_of_a_client_is_never_called_with_pickles",
        "transport/test_trusted_peers.py": "test_proxies_travel_without_key_password_and_pickles "
        "test_an_object_does_not_say_where_it_lives",
    },
    "D11 c: Unix sockets": {
        "transport/test_trusted_peers.py": "test_another_users_unix_socket_gets_no_pickle_and_is_read_none "
        "test_another_users_pickle_is_refused_over_a_unix_socket",
        "test_hostile_trust.py": "test_a_name_server_on_the_network_leads_to_no_unix_socket "
        "test_a_proxy_that_came_from_elsewhere_does_not_lead_past_tls",
    },
    "D11 d: connected sockets": {
        "transport/test_trusted_peers.py": "test_a_connected_socket_demands_the_key_that_is_set_after_the_daemon_is_made "
        "test_pickles_over_a_connected_socket_need_the_same_as_anywhere "
        "test_a_daemon_on_a_connected_socket_reads_no_pickle_of_a_stranger test_keys_hold_for_combined_daemons",
    },
    "D12 HTTP gateways": {
        "hostile/test_processes.py": "test_d12_strangers_at_an_http_gateway",
        "compat/shared/test_http_gateway.py": "test_members_of_the_proxy_itself_are_out_of_reach "
        "test_every_page_needs_the_key test_lengths_are_not_believed test_a_silent_object_does_not_keep_its_caller_for_ever "
        "test_unix_sockets_that_a_name_server_names_are_not_dialled test_cors",
        "compat/shared/test_http_server.py": "test_idle_connections_hold_nobody_up test_who_dawdles_is_dropped "
        "test_too_many_at_work_are_told_so test_what_it_prints_is_harmless",
    },
    "D13 foreign text": {
        "hostile/test_processes.py": "test_d13_a_server_steers_no_terminal",
        "hostile/test_checklist.py": "test_d13_foreign_text_adds_no_line_to_the_log",
        "cli/test_call.py": "test_errors_steer_no_terminal",
        "cli/test_nsc.py": "test_names_cannot_steer_the_terminal",
        "test_uri.py": "test_control_characters_are_refused",
        "test_tracebacks.py": "test_terminals_are_not_steered",
    },
    "D14 name server": {
        "hostile/test_name_server.py": "test_d14_names_are_bounded_in_all test_d14_the_responder_is_no_amplifier",
        "naming/test_name_server.py": "test_registrations_are_bounded_in_bytes test_answers_are_bounded",
        "naming/test_cleaner.py": "test_it_connects_only_to_where_a_name_was_registered",
        "naming/test_reachability.py": "test_silent_places_do_not_add_up",
        "naming/test_storage.py": "test_files_are_for_their_owner_only",
        "naming/test_broadcast.py": "test_an_address_gets_a_few_answers_and_no_more "
        "test_who_asks_under_the_addresses_of_others_leaves_some",
        "test_hostile_trust.py": "test_an_answer_to_a_broadcast_leads_to_no_unix_socket",
    },
    "D15 combined daemons and forks": {
        "hostile/test_processes.py": "test_d15_whatever_children_do_the_parent_serves_on "
        "test_d15_strangers_at_a_combined_daemon",
        "server/test_multiplex.py": "test_combined_daemons_live_and_end_by_themselves",
        "server/test_forks.py": "test_whatever_a_child_does_the_parent_serves_on "
        "test_a_daemon_that_has_not_served_is_the_childs_to_serve",
    },
    "D16 coroutines and destructors": {
        "hostile/test_resources.py": "test_d16_a_coroutine_may_raise_anything",
        "client/test_proxy_bytecodes.py": "test_a_destructor_anywhere",
        "support/channel_bytecodes.py": "test_a_destructor_anywhere_in_an_exchange "
        "test_a_destructor_that_closes_the_channel",
        "transport/test_link_reentrance.py": "test_destructors_in_the_reader",
    },
    "D17 state of registered classes": {
        "hostile/test_decoding.py": "test_d17_attributes_that_nobody_declared_are_refused "
        "test_d17_flags_that_nobody_declared_are_refused",
        "values/test_object_state.py": "test_data_does_not_replace_methods test_foreign_flags_are_refused_and_none_is_kept "
        "test_nobody_exposes_by_sending",
    },
    "D18 TLS files, secrets, metadata, times, listeners": {
        "hostile/test_processes.py": "test_d18_an_authority_that_was_replaced_is_trusted_no_more "
        "test_d18_a_daemon_whose_listener_is_closed_says_so",
        "transport/test_tls.py": "test_replaced_files_count_for_the_next_connection "
        "test_a_replaced_file_in_a_folder_of_authorities",
        "hostile/test_checklist.py": "test_d18_no_password_is_printed",
        "test_tracebacks.py": "test_details_hide_secrets test_details_hide_keys_wherever_they_stand",
        "client/test_metadata.py": "test_names_of_the_proxy_itself_are_left_out test_a_proxy_keeps_what_is_its_own",
        "test_config.py": "test_long_times_are_cut_where_no_clock_overflows test_times_that_are_none_are_refused",
        "server/test_connection_server.py": "test_a_daemon_whose_listener_is_gone_says_so_and_ends_with_its_last_client",
    },
    "D19 protocol 48's signatures": {
        "hostile/test_checklist.py": "test_d19_unsigned_messages_are_refused_before_they_are_read",
        "test_hostile_trust.py": "test_no_message_without_a_signature_in_a_signed_conversation",
    },
    "annotations that travel on": {
        "protocol/test_call_context.py": "test_annotations_of_the_protocols_do_not_travel_on"
    },
    "a hostile server": {
        "hostile/test_servers.py": "test_error_replies test_results_of_a_batch_that_are_more_or_fewer "
        "test_streams_without_end test_time_limits_are_honoured test_many_calls_under_way "
        "test_name_servers_that_lead_nowhere test_a_flood_that_is_read_for_others_ends_them_all",
        "hostile/test_tls_servers.py": "test_whatever_happens_to_the_records test_a_server_of_another_authority "
        "test_records_to_a_client_without_tls test_new_keys_again_and_again",
    },
    **{
        f"item {number} of the checklist": {"hostile/test_checklist.py": f"test_item_{number:02}_"}
        for number in range(1, 20)
    },
}
"""By finding: in which files which tests hold it, by their names (those of the checklist by the beginning of them)."""


@cache
def functions_of(path: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("finding", COVER)
def test_each_finding_has_its_tests(finding: str) -> None:
    for file, names in COVER[finding].items():
        there = functions_of(TESTS / file)
        for name in names.split():
            found = [one for one in there if one == name or (name.endswith("_") and one.startswith(name))]
            assert len(found) == 1, f"{file} has {len(found)} tests {name}"


def test_none_of_the_findings_is_left_out() -> None:
    told = {finding.split()[0].rstrip(":") for finding in COVER}
    assert told >= {f"D{number}" for number in range(1, 20)}
    assert sum(finding.startswith("item ") for finding in COVER) == 19
