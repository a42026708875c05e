# SPDX-License-Identifier: BSD-2-Clause
# The Debian package, `cmake --build build/release --target package`: the program, and what tree.py writes. The latter is a
# component that `cmake --install` leaves out.
set(CPACK_PACKAGE_CONTACT "the Lorikeet authors <lorikeet@lists.example.org>")
set(tree ${CMAKE_BINARY_DIR}/package)
install(CODE "
file(REMOVE_RECURSE ${tree})
execute_process(COMMAND /usr/bin/python3 -B ${CMAKE_SOURCE_DIR}/scripts/package/tree.py
	${CMAKE_BINARY_DIR}/lorikeet ${PROJECT_VERSION} \"${CPACK_PACKAGE_CONTACT}\" ${tree}
	COMMAND_ERROR_IS_FATAL ANY)" COMPONENT package EXCLUDE_FROM_ALL)
install(DIRECTORY ${tree}/ DESTINATION / USE_SOURCE_PERMISSIONS COMPONENT package EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL Unspecified package)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION web)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "IIIF Image API server")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Answers requests of the IIIF Image API, versions 2.1 and 3.0 at level 2: parts,
sizes and formats of large images, by URL. A pool of FastCGI workers, run by
supervisor or systemd, behind nginx, which keeps the answers. Originals lie in
local folders, or on HTTP servers and S3 with a local cache.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# systemd-tmpfiles makes the folders, whoever runs the pool. (util-linux is essential.)
string(CONCAT CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, logrotate, multiwatch, nginx, spawn-fcgi, "
	"supervisor | systemd-sysv, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS supervisor)
# The decoder of AVIF that notices damage, where it is a package of its own.
cmake_host_system_information(RESULT release QUERY DISTRIB_VERSION_ID)
if(NOT release VERSION_LESS 13)
	string(APPEND CPACK_DEBIAN_PACKAGE_RECOMMENDS ", libheif-plugin-aomdec")
endif()
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(file conffiles postinst prerm postrm)
	list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/scripts/package/${file})
endforeach()
include(CPack)
